//go:build !unix

package process

import (
	"os"
	"syscall"
)

func newSysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func isolate(*syscall.SysProcAttr) {}

func terminate(pid int) error { return killGroup(pid) }

func killGroup(pid int) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return process.Kill()
}
