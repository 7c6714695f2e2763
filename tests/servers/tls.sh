#!/bin/sh
# Makes what a TLS server needs, with openssl: `tls.sh FOLDER`
#
#   FOLDER/ca.pem                the certificate authority that clients are to trust
#   FOLDER/server.pem, server.key  certificate and key of the server, for 127.0.0.1 and localhost
set -eu
cd "$1"

# Keys of an elliptic curve are made at once.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
  -subj "/CN=Pointsman test CA" -keyout ca.key -out ca.pem
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
  -subj "/CN=localhost" -keyout server.key -out server.csr
echo "subjectAltName=IP:127.0.0.1,DNS:localhost" >server.ext
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile server.ext -out server.pem
