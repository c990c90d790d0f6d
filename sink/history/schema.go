package history

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one step of the schema. Its statement must do no harm when it runs twice: two servers may start at once.
type migration struct {
	number    int
	name      string
	statement string
}

// migrations are the steps in the binary, numbered from 1 without holes.
var migrations = mustMigrations()

// SchemaVersion is the version of the tables that this binary reads and writes.
func SchemaVersion() int { return len(migrations) }

func mustMigrations() []migration {
	files, err := migrationFiles.ReadDir("migrations")
	if err != nil {
		panic("BUG: history: " + err.Error())
	}
	var all []migration
	for _, f := range files {
		text, err := migrationFiles.ReadFile(path.Join("migrations", f.Name()))
		if err != nil {
			panic("BUG: history: " + err.Error())
		}
		all = append(all, parseMigration(f.Name(), string(text)))
	}
	slices.SortFunc(all, func(a, b migration) int { return a.number - b.number })
	for i, m := range all {
		if m.number != i+1 {
			panic(fmt.Sprintf("BUG: history: migration %d is number %d", i+1, m.number))
		}
	}
	return all
}

// parseMigration takes the number and the name out of NNNN_name.sql.
func parseMigration(file, statement string) migration {
	digits, name, _ := strings.Cut(strings.TrimSuffix(file, ".sql"), "_")
	number, err := strconv.Atoi(digits)
	if err != nil {
		panic("BUG: history: a migration is named " + file)
	}
	return migration{number: number, name: name, statement: statement}
}
