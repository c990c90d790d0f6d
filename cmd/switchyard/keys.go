package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/frame"
)

const (
	devKeyFile = "token.key" // in the data directory
	devTTL     = 30 * 24 * time.Hour
	devGroup   = "support"
)

// loadKeys reads every file of auth.keys and reports all that cannot be read.
func loadKeys(elements []string) ([]auth.Key, error) {
	var keys []auth.Key
	var failed []error
	for _, e := range elements {
		kid, file := config.KeyFile(e)
		key, err := auth.LoadKey(kid, file)
		keys, failed = append(keys, key), append(failed, err)
	}
	return keys, errors.Join(failed...)
}

// newVerifier takes the configured keys, and in development mode the one in the data directory, which it returns as well.
func newVerifier(cfg *config.Config, dev bool, log *slog.Logger) (*auth.Verifier, auth.Key, error) {
	keys, err := loadKeys(cfg.Auth.Keys)
	if err != nil {
		return nil, auth.Key{}, err
	}
	warnReadable(cfg.Auth.Keys, keys, log)
	var devKey auth.Key
	if dev {
		if devKey, err = openDevKey(cfg.Store.Dir, log); err != nil {
			return nil, auth.Key{}, err
		}
		keys = append(keys, devKey)
	}
	verifier, err := auth.NewVerifier(keys, time.Duration(cfg.Auth.Leeway))
	return verifier, devKey, err
}

// warnReadable names the files that hold a secret and that anybody on the machine may read.
func warnReadable(elements []string, keys []auth.Key, log *slog.Logger) {
	for i, e := range elements {
		if _, file := config.KeyFile(e); keys[i].CanSign() && auth.ReadableByOthers(file) {
			log.Warn("a signing key is readable by every user of this machine", "file", file, "remedy", "chmod 600 "+file)
		}
	}
}

func openDevKey(dir string, log *slog.Logger) (auth.Key, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return auth.Key{}, fmt.Errorf("cannot make the data directory: %w; name another with --data", err)
	}
	file := filepath.Join(dir, devKeyFile)
	key, created, err := auth.LoadOrCreateKey("", file)
	if created {
		log.Info("made a random signing key for development", "file", file)
	}
	return key, err
}

// printDev tells a developer how to go on: the address, two tokens and the next commands.
func printDev(w io.Writer, key auth.Key, address, adminAddress, dir string, now time.Time) error {
	visitor, err := devToken(key, "ann", frame.RoleVisitor, now)
	if err != nil {
		return err
	}
	agent, err := devToken(key, "bob", frame.RoleAgent, now)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, `
Switchyard %[1]s serves ws://%[2]s/v1/ws (development mode)

  visitor ann    %[3]s

  agent bob      %[4]s

Next, in another terminal:

  bin/switchyard-bench chat --url ws://%[2]s/v1/ws --key %[5]s --pairs 100 --rate 2000 --duration 10s --admin http://%[6]s
  bin/switchyard token --key %[5]s --role visitor --sub carol --groups %[7]s
  curl -s http://%[6]s/metrics | grep ^switchyard_

`, version, address, visitor, agent, filepath.Join(dir, devKeyFile), adminAddress, devGroup)
	return err
}

func devToken(key auth.Key, user string, role frame.Role, now time.Time) (string, error) {
	return key.Sign(auth.Identity{User: user, Name: user, Role: role, Groups: []string{devGroup}, Expires: now.Add(devTTL)}, now)
}
