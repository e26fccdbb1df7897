//go:build unix

package process

import (
	"errors"
	"os"
	"syscall"
)

func terminate(pid int) error { return kill(pid, syscall.SIGTERM) }

func killGroup(pid int) error { return kill(-pid, syscall.SIGKILL) }

func kill(pid int, signal syscall.Signal) error {
	err := syscall.Kill(pid, signal)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

func newSysProcAttr() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{}
	isolate(attr)
	return attr
}
