package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/sink/history"
)

// historyCmd is what an operator does with the history in ClickHouse.
type historyCmd struct {
	Migrate    historyMigrateCmd `cmd:"" help:"Create or upgrade the tables in ClickHouse, and set the retention."`
	Status     historyStatusCmd  `cmd:"" help:"Tell what waits for ClickHouse, and why if it does not move."`
	ReplayDead historyReplayCmd  `cmd:"" name:"replay-dead" help:"Insert the rows of the dead letters again; those that are refused again stay there."`
	Erase      historyEraseCmd   `cmd:"" help:"Erase a user everywhere, for a privacy request, and look whether anything is left."`
}

type historyMigrateCmd struct {
	configFlags `embed:""`
}

// Run is quiet if there was nothing to do.
func (c *historyMigrateCmd) Run(env *environment) error {
	return c.withClient(env, func(ctx context.Context, client *history.Client) error {
		if err := client.Migrate(ctx); err != nil {
			return err
		}
		_, err := fmt.Fprintf(env.stdout, "the tables have version %d\n", history.SchemaVersion())
		return err
	})
}

type historyReplayCmd struct {
	configFlags `embed:""`
}

// Run may be interrupted and run again.
func (c *historyReplayCmd) Run(env *environment) error {
	return c.withClient(env, func(ctx context.Context, client *history.Client) error {
		done, err := client.ReplayDead(ctx)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(env.stdout, "%d rows are in ClickHouse now, %d lines are dead letters still\n", done.Inserted, done.Kept)
		return err
	})
}

// errNoClickhouse is what the commands end with that need one.
var errNoClickhouse = errors.New("no ClickHouse is configured; name it with history.clickhouse")

// withClient loads the configuration as serve does, and runs f with its ClickHouse until a signal.
func (c *configFlags) withClient(env *environment, f func(context.Context, *history.Client) error) (err error) {
	loaded, err := c.load(env)
	if err != nil {
		return err
	}
	cfg := &loaded.Config
	if len(cfg.History.Clickhouse) == 0 {
		return errNoClickhouse
	}
	hc, err := historyConfig(cfg, newLogger(env.stderr, cfg.Log.Level, cfg.Log.Format, cfg.Server.ID), nil)
	if err != nil {
		return err
	}
	client, err := history.Open(hc)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return f(ctx, client)
}

type historyStatusCmd struct {
	Admin config.Address `default:"127.0.0.1:8081" env:"SWITCHYARD_ADMIN_LISTEN" help:"The server's admin address."`
}

// Run asks the running server.
func (c *historyStatusCmd) Run(env *environment) error {
	r, err := askVarz(c.Admin)
	if err != nil {
		return err
	}
	h := r.History
	if h == nil {
		return errNoClickhouse
	}
	fmt.Fprintf(env.stdout, "%s: %d rows (%d bytes) wait for ClickHouse, %d were shipped since the start, %d are dead letters\n", r.ServerID, h.BacklogRows, h.BacklogBytes, h.ShippedRows, h.DeadRows)
	if h.Error != "" {
		fmt.Fprintf(env.stdout, "nothing is shipped since %s: %s\n", h.Since, h.Error)
	}
	return nil
}
