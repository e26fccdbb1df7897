#!/bin/sh
# Roles, and which groups of the certificates get them. Run it once, as an
# administrator of the cluster:
#
#   ELASTICSEARCH=https://localhost:9200 CA=certs/ca.pem ELASTIC_PASSWORD=… ./setup.sh
set -eu

put() {
	curl --silent --show-error --fail-with-body --cacert "$CA" --user "elastic:$ELASTIC_PASSWORD" \
		--request PUT --header 'Content-Type: application/json' "$ELASTICSEARCH$1" --data "$2"
	echo
}

put /_security/role/sales_reader '{
	"indices": [{"names": ["sales*"], "privileges": ["read", "view_index_metadata"]}]
}'
put /_security/role/cluster_watcher '{"cluster": ["monitor"]}'

# role_mapping.yml does not serve JWT realms: it is this API that does. A group is
# an organization (O) of the certificate, unless the Caddyfile says otherwise.
put /_security/role_mapping/analysts '{
	"enabled": true,
	"roles": ["sales_reader"],
	"rules": {"all": [{"field": {"realm.name": "jwt1"}}, {"field": {"groups": "analysts"}}]}
}'
put /_security/role_mapping/operators '{
	"enabled": true,
	"roles": ["cluster_watcher"],
	"rules": {"all": [{"field": {"realm.name": "jwt1"}}, {"field": {"groups": "operators"}}]}
}'
