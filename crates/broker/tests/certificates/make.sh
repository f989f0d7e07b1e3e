#!/bin/sh
# Makes the certificates that the tests of the door use; their keys are public and protect nothing.
set -e
ca() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -out $1.pem -days 36500 -subj "/O=Lakehead tests/CN=$1" -addext basicConstraints=critical,CA:TRUE 2>/dev/null; }
leaf() { # name ca subject ext
 openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -out $1.csr -subj "$3" 2>/dev/null
 printf "$4" > $1.ext
 openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -CAcreateserial -out $1.pem -days 36500 -extfile $1.ext 2>/dev/null; rm $1.csr $1.ext; }
ca ca; ca other-ca
leaf server ca "/CN=localhost" "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"
leaf server-new ca "/CN=localhost new" "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"
leaf client ca "/C=DE/O=Example\\, Inc/CN=client" "extendedKeyUsage=clientAuth\n"
leaf stranger other-ca "/CN=client" "extendedKeyUsage=clientAuth\n"
rm -f *.srl ca.key other-ca.key
