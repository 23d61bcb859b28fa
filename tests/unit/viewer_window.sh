#!/bin/sh
# Drives a real window with a real mouse: viewer_window.sh PROGRAM TRACE FRAMEBUFFER PIXEL, inside
# xvfb-run whose server keeps its screen in FRAMEBUFFER. The window appears and shows a curve, which
# is a pixel that matches PIXEL (\xBB\xGG\xRR); it takes wheel, drag and click, shows something else
# afterwards, and closes with status 0.
set -eu
program=$1 trace=$2 framebuffer=$3 pixel=$4

"$program" "$trace" --size 900x600 &
viewer=$!
trap 'kill "$viewer" 2>/dev/null || true' EXIT

window=$(timeout 30 xdotool search --sync --onlyvisible --name '^Tidemark: ' | head -n 1)
[ -n "$window" ] || { echo "no window appeared"; exit 1; }
waited=0
until LC_ALL=C grep -qaP "$pixel" "$framebuffer"; do
  [ "$waited" -lt 100 ] || { echo "no curve appeared"; exit 1; }
  sleep 0.2
  waited=$((waited + 1))
done
sleep 0.5
cp "$framebuffer" "$framebuffer.before"

xdotool windowfocus "$window"
xdotool mousemove --window "$window" 500 200
xdotool click --repeat 5 --delay 50 4
xdotool mousedown 1
for step in 1 2 3 4 5; do
  xdotool mousemove_relative -- -30 0
  sleep 0.1
done
xdotool mouseup 1
sleep 0.7
xdotool mousemove --window "$window" 600 200 click 1
sleep 1.5
cp "$framebuffer" "$framebuffer.after"

kill -0 "$viewer" || { echo "the viewer died of its input"; exit 1; }
xdotool key ctrl+q
trap - EXIT
waited=0
while kill -0 "$viewer" 2>/dev/null && [ "$waited" -lt 50 ]; do
  sleep 0.2
  waited=$((waited + 1))
done
if kill -0 "$viewer" 2>/dev/null; then
  kill "$viewer"
  echo "the viewer did not close"
  exit 1
fi
wait "$viewer"
