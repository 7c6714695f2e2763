#!/bin/sh
# Makes what TLS listeners need, with the JDK's keytool alone: `tls.sh FOLDER PASSWORD`
#
#   FOLDER/ca.pem      the certificate authority that clients are to trust
#   FOLDER/broker.p12  key and certificate of the brokers, for 127.0.0.1 and localhost
#
# FOLDER appears complete or not at all.
set -eu
folder=$1
password=$2
fresh=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$fresh"' EXIT

key() {
  name=$1
  shift
  # Valid from yesterday on: the clocks of machines that share a folder differ.
  keytool -J-XX:TieredStopAtLevel=1 -genkeypair -alias "$name" -keyalg EC -groupname secp256r1 -startdate -1d -validity 3650 \
    -storetype PKCS12 -keystore "$fresh/broker.p12" -storepass "$password" "$@"
}

key ca -dname "CN=Pointsman test CA" -ext bc:c -ext ku:c=keyCertSign,cRLSign
key broker -dname "CN=localhost" -signer ca -ext san=ip:127.0.0.1,dns:localhost
keytool -exportcert -rfc -alias ca -keystore "$fresh/broker.p12" -storepass "$password" -file "$fresh/ca.pem"
# A broker uses any key that it finds in its store, so the authority's own key must not be in it.
keytool -delete -alias ca -keystore "$fresh/broker.p12" -storepass "$password"

chmod 755 "$fresh"
mv "$fresh" "$folder"
