package main

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
)

//go:embed package-lock.json
var lock []byte

// installed is where .ci/deps puts the library of this version: in the user's cache, under the beginning of the lock file's sha256.
func installed() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "switchyard", fmt.Sprintf("clickhouse-%x", sha256.Sum256(lock))[:len("clickhouse-")+16], "libchdb.so")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w; run .ci/deps, which installs it", err)
	}
	return path, nil
}
