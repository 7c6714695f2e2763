#!/bin/sh
# Runs a program for no longer than this script's standard input stays open: `run.sh FOLDER PROGRAM ARGUMENT...`
#
# The other end of that pipe is in the benchmark's process. However it goes (done, panicked, killed -9), the kernel closes
# the pipe, and the program and FOLDER go too. The one line of output is the program's process id; what the program says
# goes to FOLDER/log.
set -u
folder=$1
shift
trap 'rm -rf "$folder"' EXIT
# A signal to all processes of a build must not end this script before its work is done.
trap '' HUP INT TERM
"$@" >"$folder/log" 2>&1 </dev/null &
echo "$!"
# Waits until the pipe is closed.
cat >/dev/null
# A program that has ended by itself was reaped meanwhile, and its process id may be another's.
LC_ALL=C jobs >"$folder/jobs"
if grep -q Running "$folder/jobs"; then kill -9 "$!"; fi
wait
