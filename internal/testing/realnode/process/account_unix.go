//go:build unix

package process

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// nobody is the user and group id if the system has no user of that name.
const nobody = 65534

// Account is the system account of a process. The zero Account is that of the
// caller.
type Account struct {
	UID, GID int
}

// Unprivileged is the account for a program that refuses to run as root: the
// caller's own, or "nobody" if the caller is root.
func Unprivileged() Account {
	if os.Geteuid() != 0 {
		return Account{}
	}
	if u, err := user.Lookup("nobody"); err == nil {
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if uidErr == nil && gidErr == nil && uid > 0 && gid > 0 {
			return Account{UID: uid, GID: gid}
		}
	}
	return Account{UID: nobody, GID: nobody}
}

// RunAs sets the account of cmd.
func RunAs(cmd *exec.Cmd, account Account) {
	if account == (Account{}) {
		return
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(account.UID), Gid: uint32(account.GID)}
}

// Own makes the account the owner of a folder and everything in it.
func Own(path string, account Account) error {
	if account == (Account{}) {
		return nil
	}
	return filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, account.UID, account.GID)
	})
}

// CheckReach returns an error with the first folder on the way to path that the account
// cannot enter.
func CheckReach(path string, account Account) error {
	if account == (Account{}) {
		return nil
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		owner := info.Sys().(*syscall.Stat_t)
		switch mode := info.Mode(); {
		case int(owner.Uid) == account.UID && mode&0o100 != 0:
		case int(owner.Gid) == account.GID && mode&0o010 != 0:
		case mode&0o001 != 0:
		default:
			return fmt.Errorf("the unprivileged user %d, who has to run it because root may not, "+
				"cannot pass the folder %s", account.UID, dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}
