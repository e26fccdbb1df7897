//go:build !unix

package process

import "os/exec"

// Account is the system account of a process. The zero Account is that of the
// caller.
type Account struct {
	UID, GID int
}

// Unprivileged is the account for a program that refuses to run as root.
func Unprivileged() Account { return Account{} }

// RunAs sets the account of cmd.
func RunAs(*exec.Cmd, Account) {}

// Own makes the account the owner of a folder and everything in it.
func Own(string, Account) error { return nil }

// CheckReach returns an error with the first folder on the way to path that the account
// cannot enter.
func CheckReach(string, Account) error { return nil }
