package realnode

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// LogFile returns the path of the file with everything that the node printed since
// its first start.
func (n *Node) LogFile() string { return filepath.Join(n.home, "logs", "console.log") }

// LogPosition returns the present length of the log, for LogSince.
func (n *Node) LogPosition() int64 {
	info, err := os.Stat(n.LogFile())
	if err != nil {
		return 0
	}
	return info.Size()
}

// LogSince returns the log after a LogPosition.
func (n *Node) LogSince(position int64) string {
	file, err := os.Open(n.LogFile())
	if err != nil {
		return ""
	}
	defer file.Close()
	if _, err := file.Seek(position, io.SeekStart); err != nil {
		return ""
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return ""
	}
	return string(text)
}

// LogTail returns the last lines of the log, without the frames of stack traces.
func (n *Node) LogTail(lines int) string { return tail(n.LogSince(0), lines) }

// lineLimit is how many bytes of a line are shown. Some lines, with JVM options or
// lists of features, are much longer.
const lineLimit = 600

// tail returns the last n lines of a log, without the frames of stack traces.
func tail(log string, n int) string {
	lines := logLines(log)
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// failure returns the lines of a log that are likely to say why a node did not start:
// warnings and errors, or if there are none, the last lines.
func failure(log string) string {
	lines := slices.DeleteFunc(logLines(log), func(line string) bool {
		return strings.Contains(line, "[INFO ]") || strings.Contains(line, "[DEBUG]") || strings.Contains(line, "[TRACE]")
	})
	if len(lines) == 0 {
		return tail(log, 20)
	}
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

func logLines(log string) []string {
	var lines []string
	for line := range strings.Lines(log) {
		line = strings.TrimRight(line, "\r\n")
		frame := strings.TrimLeft(line, "\t ")
		if frame == "" || strings.HasPrefix(frame, "at ") || strings.HasPrefix(frame, "... ") {
			continue
		}
		if len(line) > lineLimit {
			line = strings.ToValidUTF8(line[:lineLimit], "") + " …"
		}
		lines = append(lines, line)
	}
	return lines
}
