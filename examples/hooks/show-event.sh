#!/bin/sh
# Prints the event it received.
# For: any event
# Settings: none
set -eu
echo "$HOOK_NAME received $HOOK_EVENT_TYPE, $HOOK_EVENT_ID:"
cat
echo
