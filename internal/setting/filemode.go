package setting

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"go.uber.org/zap"
)

// othersMay are the bits of a file's mode by which every account of the machine may read or write it.
const othersMay fs.FileMode = 0o006

// WarnOfMode warns of a file with a secret in it that everybody on the machine can read, or write. It
// is no error: in a container there may be nobody else. Without a name there is no file.
func WarnOfMode(name string, logger *zap.Logger) {
	if name == "" || runtime.GOOS == "windows" { // whose files have no such mode
		return
	}
	target, err := filepath.EvalSymlinks(name) // a link has no mode of its own
	if err != nil {
		return // whoever reads it says so
	}
	info, err := os.Stat(target)
	if err != nil || info.Mode().Perm()&othersMay == 0 {
		return
	}
	fields := []zap.Field{zap.String("file", target), zap.String("mode", fmt.Sprintf("%04o", info.Mode().Perm()))}
	if target != name {
		fields = append(fields, zap.String("link", name))
	}
	logger.Warn("every account of this machine may read or write a file with a secret in it: "+mendMode(target, info.Mode().Perm()), fields...)
}

// mendMode is the command that leaves a file to its owner, and to its group if it may read it.
func mendMode(name string, mode fs.FileMode) string {
	mended := fs.FileMode(0o600)
	if mode&0o040 != 0 {
		mended = 0o640
	}
	return fmt.Sprintf("chmod %04o %s, and see that it belongs to the account that Caddy runs as", mended, name)
}
