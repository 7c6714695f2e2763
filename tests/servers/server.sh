#!/bin/sh
# Runs a server, for no longer than this script's standard input stays open: `server.sh FOLDER PROGRAM ARGUMENT...`
#
# As tests/kafka/node.sh: the other end of that pipe is in the test process. However it goes, the kernel closes the pipe, and
# the server and its folder go, too.
#
# Each line starts the server, in FOLDER, once it has ended. While it runs, FOLDER/running holds its process id. Its output
# goes to FOLDER/log, and a line "server.sh: ended" whenever it ends.
set -u
folder=$1
shift
trap 'rm -rf "$folder"' EXIT
# A signal to all processes of a build must not end this script before its work is done.
trap '' HUP INT TERM

# Nothing is started before the folder is filled. An end of input here means that the test is gone already.
read -r _ || exit 0
cd "$folder" || exit 1
exec >log 2>&1
mkfifo started

run() {
  (
    trap - HUP INT TERM
    exec "$@"
  ) &
  server=$!
  echo "$server" >running
  echo "$server" >started
  wait "$server"
  echo "server.sh: ended"
  rm running
}

while :; do
  run "$@" </dev/null &
  # An end of input before the process id is known would leave the process behind.
  read -r server <started
  read -r _ || break
done
# The data is thrown away, so there is nothing that a gentle stop would save.
if [ -e running ]; then kill -9 "$server"; fi
wait
