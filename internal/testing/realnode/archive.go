package realnode

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// unpackArtifact fetches a zip and unpacks its files below dir. keep returns the path
// of a file there, or "" to leave it out. If the zip is damaged, it is fetched once
// more: unpacking checks the checksum of each file.
func unpackArtifact(
	ctx context.Context, a artifact, dir string, keep func(name string) string, logf func(string, ...any),
) error {
	for attempt := 1; ; attempt++ {
		path, err := a.fetch(ctx, logf)
		if err != nil {
			return err
		}
		err = unpack(path, dir, keep)
		if err == nil || attempt == 2 || !damaged(err) {
			return err
		}
		logf("fetching %s again: %v", a, err)
		if err := os.RemoveAll(filepath.Dir(path)); err != nil {
			return err
		}
	}
}

func damaged(err error) bool {
	return errors.Is(err, zip.ErrFormat) || errors.Is(err, zip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF)
}

func unpack(path, dir string, keep func(name string) string) error {
	archive, err := zip.OpenReader(path)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer archive.Close()
	for _, file := range archive.File {
		name := keep(file.Name)
		if name == "" {
			continue
		}
		if !filepath.IsLocal(name) {
			return fmt.Errorf("unpack %s: %q leads out of the folder", path, file.Name)
		}
		if err := unpackFile(file, filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("unpack %s from %s: %w", file.Name, path, err)
		}
	}
	return nil
}

func unpackFile(file *zip.File, target string) error {
	if file.FileInfo().IsDir() {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if file.Mode()&0o100 != 0 {
		mode = 0o755
	}
	in, err := file.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(target, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// withoutFirstFolder removes the first folder from a path. All files of a distribution
// are in one folder.
func withoutFirstFolder(name string) string {
	_, rest, _ := strings.Cut(name, "/")
	return rest
}
