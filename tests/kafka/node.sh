#!/bin/sh
# Runs one Kafka node, for no longer than this script's standard input stays open:
# `node.sh FOLDER CLUSTER_ID USER PASSWORD JAVA_OPTION...`
#
# The other end of that pipe is in the test process. However it goes (done, panicked, killed -9), the kernel closes the
# pipe, and the node and its folder go, too. Nothing else can promise that: a killed process runs no clean-up of its own.
#
# FOLDER holds server.properties by the time the first line arrives. Each line starts the node, on the same data, once it
# has ended. While it runs, FOLDER/running holds its process id. Its output goes to FOLDER/log, and a line
# "node.sh: ended" whenever it ends.
set -u
folder=$1
cluster=$2
scram="SCRAM-SHA-512=[name=$3,password=$4]"
shift 4
trap 'rm -rf "$folder"' EXIT
# A signal to all processes of a build must not end this script before its work is done.
trap '' HUP INT TERM

# Nothing is started before the folder is filled. An end of input here means that the test is gone already.
read -r _ || exit 0
cd "$folder" || exit 1
exec >log 2>&1
mkfifo started

# Takes the JVM's options.
run() {
  # A JVM that starts with SIGTERM ignored would never shut down in a controlled way.
  (
    trap - TERM
    exec java -Dlog4j2.level=INFO "$@" kafka.Kafka server.properties
  ) &
  jvm=$!
  # A test that freezes the node reads its process id here.
  echo "$jvm" >running
  echo "$jvm" >started
  wait "$jvm"
  # A test that waits for the process to be gone may start it again at once, and looks only at the log after this line.
  echo "node.sh: ended"
  rm running
}

# Users of SCRAM live in the cluster's metadata: formatting is the one moment to add them without a running broker.
if java "$@" kafka.tools.StorageTool format \
  -t "$cluster" -c server.properties --add-scram "$scram" >/dev/null </dev/null; then
  while :; do
    run "$@" </dev/null &
    # An end of input before the process id is known would leave the process behind.
    read -r jvm <started
    read -r _ || break
  done
  # The data is thrown away, so there is nothing that a gentle stop would save.
  if [ -e running ]; then kill -9 "$jvm"; fi
else
  echo "node.sh: ended"
fi
# A test that waits for the node wants to read the log first, so the folder stays until the pipe is closed.
cat >/dev/null
wait
