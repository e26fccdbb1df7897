// Package process runs child processes that end with their parent: the real nodes and
// the Caddy of the integration suite and of the quickstart.
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// Process is a child process, with the children that it starts itself.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Start starts cmd in its own process group. So Ctrl-C in a terminal reaches the parent
// only, which can then stop the child. On Linux, the system kills the child if the
// parent dies. Set cmd.Stdout and cmd.Stderr to files: with a pipe, Done would wait for
// every grandchild that has it open.
func Start(cmd *exec.Cmd) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = newSysProcAttr()
	} else {
		isolate(cmd.SysProcAttr)
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The system kills the child when the thread that started it ends, not when
		// the parent ends. So this thread waits for the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// PID returns the id of the process, without its children.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done returns a channel that is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns the error with which the process ended. It returns nil before the end, and
// if the exit status is 0.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Running reports whether the process has not ended yet. Until then, no other process
// can have its id.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Stop asks the process with the given id to end, or the process itself if the id is 0.
// It waits until the process itself has ended, and kills the group if that takes longer
// than the grace period.
func (p *Process) Stop(pid int, grace time.Duration) error {
	if !p.Running() {
		return nil
	}
	if pid == 0 {
		pid = p.PID()
	}
	if err := terminate(pid); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return errors.Join(fmt.Errorf("stop process %d: %w", pid, err), p.Kill())
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(grace):
		return errors.Join(fmt.Errorf("process %d did not stop within %s and was killed", pid, grace), p.Kill())
	}
}

// Kill ends the whole process group at once and waits until the process has ended.
func (p *Process) Kill() error {
	if !p.Running() {
		return nil
	}
	if err := killGroup(p.PID()); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill process group %d: %w", p.PID(), err)
	}
	<-p.done
	return nil
}
