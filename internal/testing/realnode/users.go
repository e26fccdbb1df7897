package realnode

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// User is a user of Elasticsearch's file realm.
type User struct {
	Name, Password string
	Roles          []string
}

// passwordRounds is the lowest number that the file realm accepts. Nobody attacks a
// throwaway node, and more rounds would distort measurements.
const passwordRounds = 1000

// hashPassword returns a password's hash in the file realm's PBKDF2 form. The command
// elasticsearch-users could write the two files, but would have to start a JVM.
func hashPassword(password string) (string, error) {
	salt := make([]byte, 32)
	rand.Read(salt)
	hash, err := pbkdf2.Key(sha512.New, password, salt, passwordRounds, 32)
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("{PBKDF2}%d$%s$%s", passwordRounds, encode(salt), encode(hash)), nil
}

// renderUsers returns the file realm's two files, users and users_roles.
func renderUsers(users []User) (passwords, roles string, err error) {
	var lines strings.Builder
	members := map[string][]string{}
	for _, user := range users {
		hash, err := hashPassword(user.Password)
		if err != nil {
			return "", "", err
		}
		fmt.Fprintf(&lines, "%s:%s\n", user.Name, hash)
		for _, role := range user.Roles {
			members[role] = append(members[role], user.Name)
		}
	}
	var byRole strings.Builder
	for _, role := range slices.Sorted(maps.Keys(members)) {
		fmt.Fprintf(&byRole, "%s:%s\n", role, strings.Join(members[role], ","))
	}
	return lines.String(), byRole.String(), nil
}
