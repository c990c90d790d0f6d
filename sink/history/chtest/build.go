package chtest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// build returns the path of the server's program, built from what tools/clickhouse is now. It stays in .cache under the hash of its sources, so
// that several test binaries that build at once, or run another version, do not disturb each other.
func build() (string, error) {
	root, err := root()
	if err != nil {
		return "", err
	}
	source := filepath.Join(root, "tools", "clickhouse")
	hash, err := hashFiles(source)
	if err != nil {
		return "", fmt.Errorf("chtest: %w", err)
	}
	program := filepath.Join(root, ".cache", "clickhouse-"+hash)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		return "", fmt.Errorf("chtest: %w", err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(program), "build-")
	if err != nil {
		return "", fmt.Errorf("chtest: %w", err)
	}
	err = compile(source, filepath.Join(dir, "clickhouse"), program)
	return program, errors.Join(err, os.RemoveAll(dir))
}

// compile builds the program under a name that nobody knows and gives it its own when it is whole.
func compile(source, unfinished, program string) error {
	cmd := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-o", unfinished, ".")
	cmd.Dir, cmd.Env = source, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("chtest: go build in %s: %w\n%s", source, err, out)
	}
	return os.Rename(unfinished, program)
}

// hashFiles returns a name for the contents of a folder's files.
func hashFiles(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(hash, "%q %d\n%s", e.Name(), len(text), text)
	}
	return fmt.Sprintf("%x", hash.Sum(nil))[:16], nil
}
