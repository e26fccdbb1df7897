//go:build unix

package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStopEndsTheProcess(t *testing.T) {
	p, err := Start(exec.Command("sleep", "600"))
	require.NoError(t, err)
	require.True(t, p.Running())
	require.NoError(t, p.Stop(0, time.Minute))
	require.False(t, p.Running())
	require.Error(t, p.Err(), "ended by a signal")
	require.NoError(t, p.Stop(0, time.Minute), "a second time")
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	// The shell and its child both ignore SIGTERM; the group is killed.
	p, err := Start(exec.Command("sh", "-c", `trap "" TERM; touch "$0"; sleep 600; sleep 600`, ready))
	require.NoError(t, err)
	require.Eventually(t, func() bool { _, err := os.Stat(ready); return err == nil }, 30*time.Second, time.Millisecond)
	require.ErrorContains(t, p.Stop(0, 10*time.Millisecond), "was killed")
	require.False(t, p.Running())
}

func TestStartReportsAMissingProgram(t *testing.T) {
	_, err := Start(exec.Command(filepath.Join(t.TempDir(), "missing")))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestProcessThatEndsByItselfIsDone(t *testing.T) {
	p, err := Start(exec.Command("true"))
	require.NoError(t, err)
	<-p.Done()
	require.NoError(t, p.Err())
	require.NoError(t, p.Kill())
}
