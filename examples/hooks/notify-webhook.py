#!/usr/bin/env python3
# Posts one line of text to a chat channel's incoming webhook (Slack, Mattermost and others).
# For: deploy.completed
# Settings: NOTIFY_URL (https, or http to localhost; nothing is sent when unset)
import http.client
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments):
        return None


def is_allowed(url):
    try:
        parts = urllib.parse.urlsplit(url)
        parts.port
    except ValueError:
        return False
    local = parts.hostname in ("localhost", "127.0.0.1")
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and local))


def main():
    event = json.load(sys.stdin.buffer)
    url = os.environ.get("NOTIFY_URL", "")
    if not url:
        print("NOTIFY_URL is not set: nothing to send to", file=sys.stderr)
        sys.exit(77)
    if not is_allowed(url):
        sys.exit("NOTIFY_URL must begin with https://")
    subject = event.get("feature") or os.path.basename(os.environ["HOOK_WORKSPACE"])
    text = f"{event.get('event_type')}: {subject}"
    # Else a name such as <!channel> would call everyone.
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    body = json.dumps({"text": text}).encode()
    opener = urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler({}))
    # The address is a secret: it must not get into a message.
    try:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with opener.open(request, timeout=10) as response:
            print(f"sent, {response.status}")
    except urllib.error.HTTPError as error:
        sys.exit(f"the channel answered {error.code}")
    except (http.client.InvalidURL, UnicodeError):
        sys.exit("NOTIFY_URL is not a valid address")
    except (OSError, http.client.HTTPException) as error:
        print(f"the channel cannot be reached: {getattr(error, 'reason', error)}", file=sys.stderr)
        sys.exit(75)


main()
