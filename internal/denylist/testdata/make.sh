#!/bin/sh
# Makes the names that TestNamesAsOpenSSLPrintsThem reads: a certificate with every attribute type
# that OpenSSL has a name for and that can stand in a name, and what `openssl x509 -subject` prints.
set -e
cd "$(dirname "$0")"
key=$(mktemp)
trap 'rm -f "$key"' EXIT
openssl ecparam -name prime256v1 -genkey -noout -out "$key"
subject=
for name in $(openssl list -objects |
	sed -nE 's/^(.*[=,] )?(2\.5\.4\.[0-9]+|0\.9\.2342\.19200300\.100\.1\.[0-9]+|1\.2\.840\.113549\.1\.9\.[1-9]|1\.3\.6\.1\.4\.1\.311\.60\.2\.1\.[0-9]|1\.2\.643\.(100|3\.131)\.[0-9.]+)$/\2/p' |
	sort -u); do
	for value in "$name" DE; do
		if openssl req -x509 -new -key "$key" -utf8 -subj "/$name=$value" -out /dev/null 2>/dev/null; then
			subject="$subject/$name=$value"
			break
		fi
	done
done
openssl req -x509 -new -key "$key" -utf8 -subj "$subject" -set_serial 0x4711 -days 36500 -out names.pem
openssl x509 -in names.pem -noout -serial -subject -nameopt RFC2253 >names.txt
