// Package clusteruser has the two settings of each kind of credential that asks a cluster for something: where the
// cluster is, and as whom the proxy asks.
package clusteruser

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// CheckAddresses checks the addresses of the setting cluster, and drops the slash at the end of each.
func CheckAddresses(addresses []string) error {
	for i, address := range addresses {
		checked, err := cluster.CheckAddress(address)
		if err != nil {
			return setting.In("cluster", fmt.Errorf("%s: %w", setting.Quoted(address), err))
		}
		addresses[i] = checked
	}
	return nil
}

// Open reads a credential of the proxy's own, and notices when it changes. name is the setting, whose value is a
// placeholder that has passed [setting.CheckSecret]. parse is [cluster.ParseUser], or takes less than that.
func Open(
	name, placeholder string, parse func([]byte) (cluster.User, error), logger *zap.Logger,
) (*watch.Setting[cluster.User], error) {
	opened := watch.NewSetting("credential", setting.SecretSource(placeholder), func(content []byte) (cluster.User, error) {
		user, err := parse(content)
		if err == nil {
			setting.WarnOfFileMode(setting.SecretFile(placeholder), logger)
		}
		return user, err
	}, logger)
	if err := opened.Read(); err != nil {
		return nil, setting.In(name, fmt.Errorf("%s: %w", placeholder, err))
	}
	return opened, nil
}
