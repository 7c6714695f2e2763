#!/bin/sh
# Runs one Kafka node, for exactly as long as this script's standard input stays open:
# `node.sh FOLDER CLUSTER_ID USER PASSWORD JAVA_OPTION...`
#
# The other end of that pipe is in the test process. However it goes (done, panicked, killed -9), the kernel closes the
# pipe, and the node and its folder go too. Nothing else can promise that: a killed process runs no clean-up of its own.
#
# FOLDER holds server.properties by the time the first line arrives. The node's output goes to FOLDER/log; its last line
# is "node.sh: ended" if the node stops by itself.
set -u
folder=$1
cluster=$2
scram="SCRAM-SHA-512=[name=$3,password=$4]"
shift 4
trap 'rm -rf "$folder"' EXIT
# A signal to everything that a build has started must not end this before its work is done.
trap '' HUP INT TERM

# Nothing is started before the folder is filled; an end of input here means that the test is gone already.
read -r _ || exit 0
cd "$folder" || exit 1
exec >log 2>&1

# A command in the background gets /dev/null as its input, so the pipe is handed on by another number.
exec 3<&0 </dev/null

# Users of SCRAM live in the cluster's metadata: formatting is the one moment to add them without a running broker.
if java "$@" kafka.tools.StorageTool format \
  -t "$cluster" -c server.properties --add-scram "$scram" >/dev/null 3<&-; then
  java -Dlog4j2.level=INFO "$@" kafka.Kafka server.properties 3<&- &
  jvm=$!
  # Who wants to freeze the node reads its process here.
  echo "$jvm" >running
  # The data is thrown away, so there is nothing that a gentle stop would save.
  (
    cat <&3 >/dev/null
    if [ -e running ]; then kill -9 "$jvm"; fi
  ) &
  wait "$jvm"
  rm running
fi
echo "node.sh: ended"
# Whoever waits for the node wants to read the log first: the folder stays until the pipe is closed.
wait
cat <&3 >/dev/null
