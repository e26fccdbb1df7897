#!/bin/sh
# Makes the authority, the clients and the lists of this directory.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: > "$work/index.txt"
echo 1000 > "$work/serial"
echo 01 > "$work/crlnumber"

# Version 1 has neither a number nor extensions.
config() {
	cat <<-END
		[ca]
		default_ca = users
		[users]
		database = $work/index.txt
		serial = $work/serial
		new_certs_dir = $work
		certificate = ca.pem
		private_key = $work/ca.key
		default_md = sha256
		default_days = 36500
		default_crl_days = 36500
		policy = any
		unique_subject = no
		$1
		[any]
		commonName = supplied
		[v2]
		authorityKeyIdentifier = keyid:always
		[clients]
		extendedKeyUsage = clientAuth
		[authority]
		basicConstraints = critical, CA:TRUE
		keyUsage = critical, keyCertSign, cRLSign
		subjectKeyIdentifier = hash
		[req]
		distinguished_name = any
	END
}
config "" > "$work/v1.cnf"
config "crlnumber = $work/crlnumber
crl_extensions = v2" > "$work/v2.cnf"

openssl req -x509 -config "$work/v1.cnf" -extensions authority -newkey rsa:2048 -nodes -sha256 -days 36500 \
	-subj "/O=Acme/CN=Users" -keyout "$work/ca.key" -out ca.pem
for client in good held stolen; do
	openssl req -new -config "$work/v1.cnf" -newkey rsa:2048 -nodes -subj "/CN=$client" \
		-keyout "$work/client.key" -out "$work/client.csr"
	openssl ca -config "$work/v1.cnf" -batch -notext -extensions clients -in "$work/client.csr" -out "$client.pem"
done
cp "$work/index.txt" "$work/all.txt"
# A hold or a reason makes the list version 2.
openssl ca -config "$work/v1.cnf" -revoke held.pem
openssl ca -config "$work/v1.cnf" -revoke stolen.pem
openssl ca -config "$work/v1.cnf" -gencrl -out v1.pem
cp "$work/all.txt" "$work/index.txt"
openssl ca -config "$work/v2.cnf" -revoke held.pem -crl_hold holdInstructionReject
openssl ca -config "$work/v2.cnf" -revoke stolen.pem -crl_compromise 20260101000000Z
openssl ca -config "$work/v2.cnf" -gencrl -out v2.pem
openssl crl -in v2.pem -outform DER -out v2.der
