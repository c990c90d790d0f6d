package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/cmd/switchyard/canned"
	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/cmd/switchyard/routing"
)

// examples returns the indented blocks of a page that begin with one of the keys.
func examples(t *testing.T, page string, keys ...string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile(`(?m)(?:^    .*\n)+`).FindAllString(string(text), -1) {
		block = regexp.MustCompile(`(?m)^    `).ReplaceAllString(block, "")
		for _, key := range keys {
			if strings.HasPrefix(block, key+":") {
				all = append(all, block)
			}
		}
	}
	if len(all) != len(keys) {
		t.Fatalf("%s has %d examples that begin with %v", page, len(all), keys)
	}
	return all
}

// TestExamples: the files that the documents show are taken as they are, the parts of one together.
func TestExamples(t *testing.T) {
	file := strings.Join(examples(t, "notifications.md", "endpoints", "channels"), "")
	for name, text := range map[string]string{
		"/etc/switchyard/crm.secrets": hookSecret, "/etc/switchyard/smtp.password": "secret",
	} {
		file = strings.ReplaceAll(file, name, write(t, filepath.Base(name), text))
	}
	c := config.Default()
	c.Notify.File = write(t, "notify.yaml", file)
	if err := checkNotify(&c); err != nil {
		t.Error(err)
	}
	if _, err := routing.Load(write(t, "routing.yaml", examples(t, "operations.md", "offline_grace")[0])); err != nil {
		t.Error(err)
	}
	if replies, err := canned.Load(write(t, "canned.yaml", examples(t, "operations.md", "groups")[0])); err != nil || len(replies) == 0 {
		t.Error(replies, err)
	}
}

// TestEmptyNotifyFile: a file of which everything is commented out is one without endpoints.
func TestEmptyNotifyFile(t *testing.T) {
	c := config.Default()
	c.Notify.File = write(t, "notify.yaml", "# endpoints:\n")
	if err := checkNotify(&c); err != nil {
		t.Error(err)
	}
}
