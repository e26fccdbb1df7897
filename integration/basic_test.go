package integration

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode"
)

// basicNode is a node with a basic licence, which has neither a JWT nor a PKI realm. The tests of other credentials
// share it, each with users of its own.
type basicNode struct {
	front
	es *realnode.Elasticsearch
}

var basicNodes sync.Map

// basicNodeOf returns the node of a version, which the first test to ask for it starts.
func basicNodeOf(t testing.TB, version string) *basicNode {
	t.Helper()
	n := startedOnce(t, &basicNodes, version, func(ctx context.Context, version string) (*basicNode, error) {
		n, err := newBasicNode(ctx, version)
		if err == nil {
			closeAtEnd(n.es.Close)
		}
		return n, err
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last lines of the node's log:\n%s", n.es.LogTail(40))
		}
	})
	return n
}

// newBasicNode starts a node with users that others can run as.
func newBasicNode(ctx context.Context, version string, changes ...func(*realnode.ElasticsearchConfig)) (*basicNode, error) {
	config := nodeConfig(version, "")
	config.License, config.SecurityIndex, config.RoleMappings = "basic", true, nil
	config.Roles += "\nkey_maker:\n  cluster: [manage_own_api_key]\n"
	for name, role := range map[string]string{
		"alice": "sales_reader", "edge-analysts": "sales_reader", "edge-operators": "cluster_watcher",
		"runas-target": "cluster_watcher",
	} {
		config.Users = append(config.Users, realnode.User{Name: name, Password: "unused-password", Roles: []string{role}})
	}
	for _, change := range changes {
		change(&config)
	}
	es, err := realnode.NewElasticsearch(ctx, config)
	if err != nil {
		return nil, err
	}
	n := &basicNode{es: es, front: front{node: es.Node}}
	if err := es.Start(ctx); err != nil {
		return nil, errors.Join(err, es.Close())
	}
	if err := n.addSales(ctx); err != nil {
		return nil, errors.Join(err, es.Close())
	}
	return n, nil
}
