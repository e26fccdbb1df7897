//go:build !unix

package process

import "os/exec"

// Account is the system account a process runs as. The zero Account is the
// caller's own.
type Account struct {
	UID, GID int
}

// Unprivileged is the account for a program that refuses to run as root.
func Unprivileged() Account { return Account{} }

// RunAs makes cmd run as the account.
func RunAs(*exec.Cmd, Account) {}

// Own gives a folder and everything in it to the account.
func Own(string, Account) error { return nil }

// CheckReach reports the first folder on the way to path that the account may
// not pass.
func CheckReach(string, Account) error { return nil }
