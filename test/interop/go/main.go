// The programs on the official Go SDK: interop launch|app|worker|client ARGUMENT...
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"syscall"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
)

//go:embed golden.json
var goldenText []byte

var golden struct {
	Queue, Class, Workflow, Failing, Topic string
	EventKey, StreamKey                    string
	Arguments                              []any
	Message, Event, StreamItem, Output     any
	Failure                                map[string]any
}

func try(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func newContext(uri, application string) dbos.Context {
	ctx, err := dbos.NewContext(context.Background(), dbos.Config{
		AppName: application, ApplicationVersion: application + "-1", DatabaseURL: uri, Logger: logger()})
	try(err)
	return ctx
}

func launch(uri string) {
	ctx := newContext(uri, "launch")
	try(dbos.Launch(ctx))
	try(dbos.Shutdown(ctx, 10*time.Second))
}

// Writes `ready` to descriptor 3 when the worker takes work; returns on SIGTERM.
func serve(ctx dbos.Context, queue string) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	try(dbos.Launch(ctx))
	_, err := dbos.RegisterQueue(ctx, queue, dbos.WithQueueBasePollingInterval(100*time.Millisecond))
	try(err)
	_, err = os.NewFile(3, "ready").WriteString("ready\n")
	try(err)
	<-stop
	try(dbos.Shutdown(ctx, 10*time.Second))
}

var failures = 0

// One line `ok - name` or `not ok - name`; what went wrong goes to stderr.
func check(name string, body func() error) bool {
	if err := body(); err != nil {
		failures++
		fmt.Println("not ok - " + name)
		fmt.Fprintln(os.Stderr, err)
		return false
	}
	fmt.Println("ok - " + name)
	return true
}

// Compares as JSON does: what was a struct or an int is a map or a float64 when it comes back.
func equal(got, wanted any) error {
	if g, w := plain(got), plain(wanted); !reflect.DeepEqual(g, w) {
		return fmt.Errorf("got %v, wanted %v", g, w)
	}
	return nil
}

func plain(value any) (result any) {
	text, err := json.Marshal(value)
	try(err)
	try(json.Unmarshal(text, &result))
	return result
}

// The exit status tells a crash (before this) from a failed check.
func finish() {
	if failures > 0 {
		os.Exit(1)
	}
}

func main() {
	try(json.Unmarshal(goldenText, &golden))
	arguments := append(os.Args, golden.Queue)
	switch words := strings.Join(os.Args[1:2], ""); {
	case words == "launch" && len(os.Args) == 3:
		launch(arguments[2])
	case words == "app" && len(os.Args) == 4:
		app(arguments[2], arguments[3])
	case words == "worker" && (len(os.Args) == 4 || len(os.Args) == 5):
		worker(arguments[2], arguments[3], arguments[4])
	case words == "client" && len(os.Args) == 5:
		client(arguments[2], arguments[3], arguments[4])
	default:
		fmt.Fprintln(os.Stderr, "usage: interop launch URI | app URI APPLICATION | worker URI APPLICATION [QUEUE] | client URI APPLICATION ID")
		os.Exit(2)
	}
}
