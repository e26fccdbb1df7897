// Package process runs child processes that do not outlive their parent: the
// real nodes and the Caddy of the integration suite and of the quickstart.
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// Process is a started child with whatever children it starts itself.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Start starts cmd in a process group of its own, so that Ctrl-C in a terminal
// reaches the parent alone, and so that a parent that dies takes the child with
// it where the system can do that (Linux). Give cmd.Stdout and cmd.Stderr files:
// a pipe would keep Done open as long as any grandchild holds it.
func Start(cmd *exec.Cmd) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = newSysProcAttr()
	} else {
		isolate(cmd.SysProcAttr)
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The parent-death signal is sent when the thread that forked ends, not
		// when the process does: this thread waits for the child.
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

// PID is the id of the started process itself.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended and was waited for.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is how the process ended; nil before Done and after an exit with status 0.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Running reports whether the process has not been waited for yet, which also
// means that its id cannot belong to another process.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Stop asks the process with the given id (0: the started process itself) to
// end, waits for the started one, and after the grace period kills the group.
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

// Kill ends the whole process group at once and waits for the started process.
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
