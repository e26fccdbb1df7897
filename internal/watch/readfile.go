package watch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ReadFile reads a regular file, or os.DevNull, which is always empty. Its errors say what to do. They do not have
// the file's name in them: the caller adds it, and says what the file is for.
//
// Everything else is an error. A pipe would wait for its writer, perhaps for ever, and it can be read only once,
// while a file is read again and again. A device such as /dev/zero has no end.
//
//	/run/list               a FIFO: an error
//	/dev/fd/63              of `<(…)` in a shell, a pipe: an error
//	/dev/stdin              of `… | caddy run`, a pipe: an error
//	/dev/stdin              of `caddy run < list`, a regular file: its content
//	link to a regular file  its content
func ReadFile(name string) ([]byte, error) {
	// The file is checked once it is open, so that nobody can replace it between the check and the use. Without
	// O_NONBLOCK, opening a pipe would already wait for its writer.
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		if wrong := CheckFile(name); wrong != nil {
			return nil, wrong // a socket, for one, cannot be opened
		}
		return nil, readError(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, readError(err)
	}
	if err := checkKind(info); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return nil, readError(err)
	}
	return content, nil
}

// CheckFile returns the error of [ReadFile] for what is no regular file. It returns nil if there is no such file,
// and does not open it.
func CheckFile(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return nil //nolint:nilerr // whoever reads the file returns the error
	}
	return checkKind(info)
}

// checkKind returns an error if a file is neither a regular file nor os.DevNull.
func checkKind(info fs.FileInfo) error {
	var kind string
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		kind = "a folder"
	case mode&fs.ModeNamedPipe != 0:
		kind = "a pipe"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	default:
		if null, err := os.Stat(os.DevNull); err == nil && os.SameFile(info, null) {
			return nil
		}
		kind = "a device"
	}
	return fmt.Errorf("it is %s, not a regular file: name a file that Caddy can read", kind)
}

// readError returns what an error of package os says, without the file's name.
func readError(err error) error {
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%w: name a file that Caddy can read", pathError.Err)
	}
	return err
}
