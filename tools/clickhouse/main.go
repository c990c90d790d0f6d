// Command clickhouse is a ClickHouse server for the tests and benchmarks of Switchyard: the library libchdb.so behind its own command line.
// It needs no root, no container and no C compiler, and is not for production.
//
//	clickhouse -dir DIR [-tcp-port 9000] [-http-port 8123] [-remove] [-library libchdb.so]
//
// It serves the native and the HTTP protocol on 127.0.0.1, to the users of users.xml, writes the line "ready" to its standard output when it
// does, and ends when its standard input does: so it never outlives who started it, whatever kills that. With -remove it removes DIR then.
// DIR holds the data, which survive a kill. .ci/deps installs the library.
package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ebitengine/purego"
)

//go:embed users.xml
var users []byte

// config names the file of the users.
const config = `<clickhouse>
	<users_config>%s/users.xml</users_config>
</clickhouse>
`

// queries open the listeners, make the file that tells that, and then wait for the end of the standard input. The file is in the server's folder:
// ClickHouse writes another one beside it and renames that, so it would put a file in the place of /dev/stdout.
const queries = `SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP;
SELECT 'ready' INTO OUTFILE '%s' TRUNCATE FORMAT TSV;
SELECT count() FROM file('stdin', 'LineAsString', 'l String') FORMAT Null`

type options struct {
	library, dir string
	tcp, http    int
	remove       bool
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "", "folder of the data")
	flag.IntVar(&o.tcp, "tcp-port", 9000, "port of the native protocol")
	flag.IntVar(&o.http, "http-port", 8123, "port of the HTTP protocol")
	flag.BoolVar(&o.remove, "remove", false, "remove the folder in the end")
	flag.StringVar(&o.library, "library", "", "libchdb.so, if not the one that .ci/deps installed")
	flag.Parse()
	if err := serve(o); err != nil {
		fmt.Fprintln(os.Stderr, "clickhouse:", err)
		os.Exit(1)
	}
}

// serve returns after the end of the standard input, or if the server cannot run.
func serve(o options) (err error) {
	if o.dir == "" {
		return errors.New("name the folder of the data with -dir")
	}
	if o.library == "" {
		if o.library, err = installed(); err != nil {
			return err
		}
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if o.remove {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if err := os.WriteFile(filepath.Join(dir, "users.xml"), users, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.xml"), fmt.Appendf(nil, config, dir), 0o644); err != nil {
		return err
	}
	ready := filepath.Join(dir, "ready")
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	go announce(ready)
	return run(o.library, "clickhouse-local", "--path="+dir, "--config-file="+filepath.Join(dir, "config.xml"), "--listen_host=127.0.0.1",
		fmt.Sprintf("--tcp_port=%d", o.tcp), fmt.Sprintf("--http_port=%d", o.http), "--query="+fmt.Sprintf(queries, ready))
}

// announce writes "ready" when the file of that name is there. It ends with the process.
func announce(ready string) {
	for {
		if _, err := os.Stat(ready); err == nil {
			fmt.Println("ready")
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// run calls the library's command line and returns when that has ended.
func run(library string, args ...string) error {
	handle, err := purego.Dlopen(library, purego.RTLD_NOW)
	if err != nil {
		return err
	}
	var command func(argc int32, argv **byte) uintptr
	var failure func(result uintptr) string
	purego.RegisterLibFunc(&command, handle, "chdb_query_cmdline")
	purego.RegisterLibFunc(&failure, handle, "chdb_result_error")
	argv := make([]*byte, len(args)+1)
	for i, a := range args {
		argv[i] = &append([]byte(a), 0)[0]
	}
	if text := strings.TrimSpace(failure(command(int32(len(args)), &argv[0]))); text != "" {
		return errors.New(text)
	}
	return nil
}
