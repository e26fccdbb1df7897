package watch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

const whole = "\nthe end\n"

// parse takes a text that can be cut short without anybody noticing, as a deny list can.
func parse(content []byte) (string, error) {
	if bytes.Contains(content, []byte("bad")) {
		return "", errors.New("it is bad")
	}
	return string(content), nil
}

// watched is a file that is watched while a test runs.
type watched struct {
	*watch.Value[string]
	t     *testing.T
	logs  *observer.ObservedLogs
	looks []string // what was believed after a change, or the error
}

// start watches a file until the test ends.
func start(t *testing.T, file string) *watched {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	w := &watched{Value: watch.New(watch.File(file), parse, zap.New(core)), t: t, logs: logs}
	require.NoError(t, w.Read(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		w.Run(ctx, func(changed bool, err error) {
			switch {
			case err != nil:
				w.looks = append(w.looks, err.Error())
			case changed:
				w.looks = append(w.looks, w.Get())
			}
		})
	}()
	return w
}

func (w *watched) warnings() int { return w.logs.FilterLevelExact(zap.WarnLevel).Len() }

// ways are how people replace a file: in place, with a rename, and as Kubernetes does with the files of
// a ConfigMap or a Secret, whose link ..data is replaced.
var ways = map[string]func(t *testing.T) (file string, replace func(content string)){
	"in place": func(t *testing.T) (string, func(string)) {
		file := filepath.Join(t.TempDir(), "list")
		return file, func(content string) { require.NoError(t, os.WriteFile(file, []byte(content), 0o600)) }
	},
	"by a rename": func(t *testing.T) (string, func(string)) {
		file := filepath.Join(t.TempDir(), "list")
		return file, func(content string) {
			require.NoError(t, os.WriteFile(file+".new", []byte(content), 0o600))
			require.NoError(t, os.Rename(file+".new", file))
		}
	},
	"by another file": func(t *testing.T) (string, func(string)) {
		file := filepath.Join(t.TempDir(), "list")
		return file, func(content string) {
			_ = os.Remove(file)
			require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		}
	},
	"by a link's swap": func(t *testing.T) (string, func(string)) {
		dir := t.TempDir()
		file := filepath.Join(dir, "list")
		require.NoError(t, os.Symlink(filepath.Join("..data", "list"), file))
		n := 0
		return file, func(content string) {
			n++
			folder := fmt.Sprintf("..%d", n)
			require.NoError(t, os.Mkdir(filepath.Join(dir, folder), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir, folder, "list"), []byte(content), 0o600))
			require.NoError(t, os.Symlink(folder, filepath.Join(dir, "..data_tmp")))
			require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
			_ = os.RemoveAll(filepath.Join(dir, fmt.Sprintf("..%d", n-1)))
		}
	},
}

// TestAFileThatNeverRestsIsBelieved: a deny list that a job replaces again and again was never read, and
// whoever came onto it went on.
func TestAFileThatNeverRestsIsBelieved(t *testing.T) {
	for name, way := range ways {
		for _, every := range []int{50, 200, 500, 1000, 1100, 2000, 3000} {
			every := time.Duration(every) * time.Millisecond
			t.Run(fmt.Sprintf("%s every %s", name, every), func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					file, replace := way(t)
					replace("version 0" + whole)
					w := start(t, file)
					n := 0
					churn := func(d time.Duration, list string) {
						for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(every) {
							n++
							replace(fmt.Sprintf("version %d %s%s", n, list, whole))
						}
					}
					// A change comes at another point of a look each time.
					for _, offset := range []int{0, 2900, 4700} {
						churn(10*time.Second+time.Duration(offset)*time.Millisecond, "nobody")
						churn(watch.Latest, "eve")
						require.Contains(t, w.Get(), "eve")
					}
					if every < time.Second {
						require.Positive(t, w.warnings(), "somebody should know")
						require.LessOrEqual(t, w.warnings(), 3, "but once a minute is enough")
					}
					if every >= 2*time.Second {
						require.Zero(t, w.warnings(), "it rests often enough")
					}
				})
			})
		}
	}
}

// TestReadingsDoNotKeepStepWithAWriter: with a reading every 100 ms, a file that is written in place every 50 ms
// was found empty each time.
func TestReadingsDoNotKeepStepWithAWriter(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "list")
		require.NoError(t, os.WriteFile(file, []byte("version 0"+whole), 0o600))
		w := start(t, file)
		const emptied, every = 2 * time.Millisecond, 50 * time.Millisecond
		time.Sleep(every - emptied/2) // so that it is empty at each multiple of 50 ms
		for end := time.Now().Add(3 * watch.Latest); time.Now().Before(end); time.Sleep(every - emptied) {
			require.NoError(t, os.Truncate(file, 0))
			time.Sleep(emptied)
			require.NoError(t, os.WriteFile(file, []byte(time.Now().String()+whole), 0o600))
		}
		synctest.Wait()
		require.NotEmpty(t, w.looks)
		for _, look := range w.looks {
			require.True(t, strings.HasSuffix(look, whole), "%q was believed", look)
		}
	})
}

// TestAHalfWrittenFileIsNotBelieved, as long as it rests at all: half a deny list denies half of the
// clients.
func TestAHalfWrittenFileIsNotBelieved(t *testing.T) {
	appendTo := func(t *testing.T, file, text string) {
		f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		defer f.Close()
		_, err = f.WriteString(text)
		require.NoError(t, err)
	}
	halves := func(t *testing.T, file string, pauses ...time.Duration) {
		require.NoError(t, os.Truncate(file, 0))
		for i, pause := range pauses {
			time.Sleep(pause)
			appendTo(t, file, fmt.Sprintf("part %d\n", i))
		}
		appendTo(t, file, whole)
	}
	requireWhole := func(t *testing.T, w *watched) {
		t.Helper()
		for _, look := range w.looks {
			require.True(t, strings.HasSuffix(look, whole), "%q was believed", look)
		}
	}
	for offset := range 8 {
		offset := time.Duration(offset) * 430 * time.Millisecond
		t.Run("written once, after "+offset.String(), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "list")
				require.NoError(t, os.WriteFile(file, []byte("first"+whole), 0o600))
				w := start(t, file)
				time.Sleep(offset)
				halves(t, file, 900*time.Millisecond, 800*time.Millisecond, 900*time.Millisecond)
				time.Sleep(watch.Latest)
				synctest.Wait()
				requireWhole(t, w)
				require.Len(t, w.looks, 1)
				require.Zero(t, w.warnings())
			})
		})
		t.Run("written all the time, from "+offset.String(), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "list")
				require.NoError(t, os.WriteFile(file, []byte("first"+whole), 0o600))
				w := start(t, file)
				time.Sleep(offset)
				for i := range 60 {
					halves(t, file, 50*time.Millisecond, 150*time.Millisecond)
					appendTo(t, file, fmt.Sprintf("version %d%s", i, whole))
					time.Sleep(700 * time.Millisecond)
				}
				synctest.Wait()
				requireWhole(t, w)
				require.NotEmpty(t, w.looks)
			})
		})
	}
	t.Run("emptied all the time", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "list")
			require.NoError(t, os.WriteFile(file, []byte("first"+whole), 0o600))
			w := start(t, file)
			for range 300 { // each time for longer than it has something in it
				require.NoError(t, os.Truncate(file, 0))
				time.Sleep(180 * time.Millisecond)
				require.NoError(t, os.WriteFile(file, []byte(time.Now().String()+whole), 0o600))
				time.Sleep(20 * time.Millisecond)
			}
			synctest.Wait()
			for _, look := range w.looks {
				require.NotEmpty(t, look)
			}
		})
	})
	t.Run("emptied for good", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "list")
			require.NoError(t, os.WriteFile(file, []byte("first"+whole), 0o600))
			w := start(t, file)
			require.NoError(t, os.Truncate(file, 0))
			time.Sleep(watch.Latest)
			require.Empty(t, w.Get())
		})
	})
}

// TestWhatCannotBeUsedLeavesWhatWasThereBefore, and says why for as long as that is so.
func TestWhatCannotBeUsedLeavesWhatWasThereBefore(t *testing.T) {
	for name, c := range map[string]struct {
		breakIt func(file string) error
		says    string
	}{
		"refused": {func(file string) error { return os.WriteFile(file, []byte("bad"), 0o600) }, "it is bad"},
		"gone":    {os.Remove, "name a file that Caddy can read"},
		"a folder": {func(file string) error {
			return errors.Join(os.Remove(file), os.Mkdir(file, 0o700))
		}, "name a file that Caddy can read"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "list")
				require.NoError(t, os.WriteFile(file, []byte("first"), 0o600))
				w := start(t, file)
				require.NoError(t, c.breakIt(file))
				for range 10 {
					time.Sleep(watch.Latest)
					require.ErrorContains(t, w.Err(), c.says)
					require.NotContains(t, w.Err().Error(), file, "whoever names the file knows what it is for")
					require.Equal(t, "first", w.Get())
				}
				require.NoError(t, os.RemoveAll(file))
				require.NoError(t, os.WriteFile(file, []byte("first"), 0o600))
				time.Sleep(watch.Latest)
				require.NoError(t, w.Err(), "as it was before")
				require.NoError(t, os.WriteFile(file, []byte("second"), 0o600))
				time.Sleep(watch.Latest)
				require.Equal(t, "second", w.Get())
			})
		})
	}
	t.Run("refused and gone in turns", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "list")
			require.NoError(t, os.WriteFile(file, []byte("first"), 0o600))
			w := start(t, file)
			for range 3 {
				require.NoError(t, os.WriteFile(file, []byte("bad"), 0o600))
				time.Sleep(watch.Latest)
				require.EqualError(t, w.Err(), "it is bad")
				require.NoError(t, os.Remove(file))
				time.Sleep(watch.Latest)
				require.ErrorContains(t, w.Err(), "no such file")
			}
		})
	})
}

// TestEachChangeRaisesTheVersion, and nothing else does.
func TestEachChangeRaisesTheVersion(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "list")
		write := func(content string) {
			require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
			time.Sleep(watch.Latest)
		}
		write("one")
		w := start(t, file)
		first := w.Version()
		write("one")
		write("bad")
		require.Equal(t, first, w.Version())
		write("two")
		require.Equal(t, first+1, w.Version())
	})
}
