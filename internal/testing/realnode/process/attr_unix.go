//go:build unix && !linux

package process

import "syscall"

func isolate(attr *syscall.SysProcAttr) { attr.Setpgid = true }
