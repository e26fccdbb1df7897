package realnode

import (
	"archive/zip"
	"context"
	_ "embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"text/template"
)

//go:embed analysis/SecurityIndexAnalysisPlugin.java
var analysisSource []byte

//go:embed analysis/plugin-descriptor.properties.tmpl
var analysisDescriptor string

var analysisTemplate = template.Must(template.New("plugin-descriptor.properties").Parse(analysisDescriptor))

// installAnalysis compiles the plugin that the .security index needs, and puts it into
// the node's plugins folder. The Java source says why the index needs it.
func installAnalysis(ctx context.Context, jdk JDK, home, version string, java int) error {
	work, err := os.MkdirTemp(home, "javac-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	source := filepath.Join(work, "SecurityIndexAnalysisPlugin.java")
	if err := os.WriteFile(source, analysisSource, 0o644); err != nil {
		return err
	}
	classes := filepath.Join(work, "classes")
	cmd := exec.CommandContext(ctx, jdk.command("javac"),
		"-J"+quickStart, "--release", strconv.Itoa(java), "-nowarn", "-proc:none",
		"-classpath", filepath.Join(home, "lib", "*"), "-d", classes, source)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compile the analysis plugin: %w\n%s", err, tail(string(output), 20))
	}
	plugin := filepath.Join(home, "plugins", "security-index-analysis")
	if err := os.MkdirAll(plugin, 0o755); err != nil {
		return err
	}
	if err := writeJar(filepath.Join(plugin, "security-index-analysis.jar"), os.DirFS(classes)); err != nil {
		return fmt.Errorf("pack the analysis plugin: %w", err)
	}
	descriptor, err := os.Create(filepath.Join(plugin, "plugin-descriptor.properties"))
	if err != nil {
		return err
	}
	values := struct {
		Elasticsearch string
		Java          int
	}{version, java}
	if err := analysisTemplate.Execute(descriptor, values); err != nil {
		descriptor.Close()
		return err
	}
	return descriptor.Close()
}

func writeJar(path string, classes fs.FS) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	jar := zip.NewWriter(file)
	if err := jar.AddFS(classes); err != nil {
		file.Close()
		return err
	}
	if err := jar.Close(); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}
