package setting

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"go.uber.org/zap"
)

// othersMayAccess has the bits of a file's mode that let every account of the machine read or write it.
const othersMayAccess fs.FileMode = 0o006

// WarnOfFileMode warns if every account of the machine can read or write a file that has a secret in it. This is no
// error, because a container may have no other account. If the name is empty, there is no file.
func WarnOfFileMode(name string, logger *zap.Logger) {
	if name == "" || runtime.GOOS == "windows" { // files on Windows have no such mode
		return
	}
	target, err := filepath.EvalSymlinks(name) // the mode of a link says nothing
	if err != nil {
		return // whoever reads the file returns the error
	}
	info, err := os.Stat(target)
	if err != nil || info.Mode().Perm()&othersMayAccess == 0 {
		return
	}
	mode := info.Mode().Perm()
	fields := []zap.Field{zap.String("file", target), zap.String("mode", fmt.Sprintf("%04o", mode))}
	if target != name {
		fields = append(fields, zap.String("link", name))
	}
	logger.Warn("every account of this machine may read or write a file with a secret in it: "+
		chmodCommand(target, mode), fields...)
}

// chmodCommand returns the command that leaves a file to its owner, and to its group if the group could read it.
func chmodCommand(name string, mode fs.FileMode) string {
	private := fs.FileMode(0o600)
	if mode&0o040 != 0 {
		private = 0o640
	}
	return fmt.Sprintf("chmod %04o %s, and see that it belongs to the account that Caddy runs as", private, name)
}
