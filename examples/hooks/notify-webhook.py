#!/usr/bin/env python3
# Posts one line of text to a chat channel's incoming webhook.
# For: deploy.completed
# Settings: NOTIFY_URL (https; nothing is sent when unset)
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments):
        return None


def main():
    event = json.load(sys.stdin)
    url = os.environ.get("NOTIFY_URL", "")
    if not url:
        print("NOTIFY_URL is not set: nothing to send to", file=sys.stderr)
        sys.exit(77)
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1")):
        sys.exit("NOTIFY_URL must begin with https://")
    text = f"{event['event_type']}: {event.get('feature') or event['project_root']}"
    body = json.dumps({"text": text}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as response:
            print(f"sent, {response.status}")
    except urllib.error.HTTPError as error:
        sys.exit(f"the channel answered {error.code}")
    except OSError as error:
        print(f"the channel cannot be reached: {error}", file=sys.stderr)
        sys.exit(75)


main()
