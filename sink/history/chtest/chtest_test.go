package chtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"go.uber.org/goleak"
)

// asHolder in the environment makes the test binary start a server, print the number of its process and its folder, and wait to be killed.
const asHolder = "CHTEST_HOLDER"

func TestMain(m *testing.M) {
	if os.Getenv(asHolder) != "" {
		hold()
	}
	goleak.VerifyTestMain(m)
}

func hold() {
	s, err := shared()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(s.process.cmd.Process.Pid, s.process.dir)
	select {}
}

func connect(t *testing.T, addr, user, password string) error {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{addr}, DialTimeout: patience, Auth: clickhouse.Auth{Username: user, Password: password}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}()
	return conn.Ping(context.Background())
}

func TestKillKeepsTheData(t *testing.T) {
	s := Start(t)
	db := s.Database(t)
	s.Exec(t, "CREATE DATABASE "+db)
	s.Exec(t, "CREATE TABLE "+db+".t (n UInt64) ENGINE = MergeTree ORDER BY n")
	s.Exec(t, "INSERT INTO "+db+".t SELECT number FROM numbers(1000)")
	s.Kill()
	if err := connect(t, s.Addr, "", ""); err == nil {
		t.Fatal("a killed server answers")
	}
	s.Restart()
	if got := s.HTTP("SELECT count(), sum(n) FROM " + db + ".t"); got != "1000\t499500" {
		t.Errorf("after a kill the table has (rows, sum) %s", got)
	}
	if err := connect(t, s.Addr, "", ""); err != nil {
		t.Errorf("the server that was started again is not at its address: %v", err)
	}
}

func TestStopListenIsAnOutage(t *testing.T) {
	s := Start(t)
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{s.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Ping(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.StopListen()
	if err := conn.Ping(context.Background()); err == nil {
		t.Error("a connection that was open survived")
	}
	if err := connect(t, s.Addr, "", ""); err == nil {
		t.Error("the server can be connected to")
	}
	if got := s.HTTP("SELECT 1"); got != "1" {
		t.Errorf("SELECT 1 over HTTP is %q", got)
	}
	s.StartListen()
	if err := conn.Ping(context.Background()); err != nil {
		t.Errorf("after the outage: %v", err)
	}
}

func TestUsers(t *testing.T) {
	s := Start(t)
	for _, user := range []string{User, Nobody} {
		if err := connect(t, s.Addr, user, Password); err != nil {
			t.Errorf("%s: %v", user, err)
		}
	}
	var refused *clickhouse.Exception
	if err := connect(t, s.Addr, User, "wrong"); !errors.As(err, &refused) || refused.Code != 516 {
		t.Errorf("with a wrong password: %v", err)
	}
	s.Restart() // it died of that
	if err := connect(t, s.Addr, User, Password); err != nil {
		t.Error(err)
	}
}

func TestSharedIsOneAndDropsItsDatabases(t *testing.T) {
	s := Shared(t)
	if s != Shared(t) {
		t.Error("Shared gave two servers")
	}
	var db string
	t.Run("test", func(t *testing.T) {
		db = s.Database(t)
		s.Exec(t, "CREATE DATABASE "+db)
	})
	s.Exec(t, "CREATE DATABASE "+db) // fails if it is still there
	s.Exec(t, "DROP DATABASE "+db)
}

func TestAnExistingServer(t *testing.T) {
	s := Start(t)
	cmd := exec.Command(os.Args[0], "-test.run", "^TestSharedIsOneAndDropsItsDatabases$", "-test.v")
	cmd.Env = append(os.Environ(), Environment+"="+s.Addr)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := s.HTTP("SELECT count() > 0 FROM system.errors WHERE name = 'DATABASE_ALREADY_EXISTS'"); got != "0" {
		t.Error("a database was not dropped")
	}
	if got := s.HTTP("SELECT sum(value) > 0 FROM system.events WHERE event = 'Query'"); got != "1" {
		t.Error("the server was not asked")
	}
}

// TestServerEndsWithItsTest kills a test binary that has a server.
func TestServerEndsWithItsTest(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asHolder+"=1", Environment+"=")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	var dir string
	if _, err := fmt.Sscan(line, &pid, &dir); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the server does not run: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // "signal: killed"
	gone := func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err) && (syscall.Kill(pid, 0) != nil || zombie(pid))
	}
	for deadline := time.Now().Add(patience); !gone(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d or its folder %s is still there", pid, dir)
		}
	}
}

// zombie tells whether a process has ended and waits for its parent, which in a container may be nobody who cares.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func TestAbsenceIsAFailureWithItsRemedy(t *testing.T) {
	_, err := newProcess(t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "libchdb.so: no such file or directory; run .ci/deps") {
		t.Errorf("without the library: %v", err)
	}
}
