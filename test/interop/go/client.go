package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
)

// Enqueues the golden workflows for whatever worker serves them.
func client(uri, application, id string) {
	c, err := dbos.NewClient(context.Background(), dbos.ClientConfig{DatabaseURL: uri, AppName: application, Logger: logger()})
	try(err)
	handle, err := enqueue(c, golden.Workflow, id, golden.Arguments...)
	try(err)
	check("reads the event that it set", func() error {
		event, err := dbos.GetEvent[any](c, id, golden.EventKey, 30*time.Second)
		return errors.Join(err, equal(event, golden.Event))
	})
	check("a message reaches it and the result comes back", func() error {
		for range 2 {
			if err := dbos.Send(c, id, golden.Message, golden.Topic, dbos.WithIdempotencyKey("once"), dbos.WithPortableSend()); err != nil {
				return err
			}
		}
		result, err := handle.GetResult()
		return errors.Join(err, equal(result, golden.Output))
	})
	check("reads the stream that it wrote", func() error { return streamed(c, id) })
	check("an error comes back with name, message, code and data", func() error { return rejected(c, id+"-rejected") })
	check("the workflow is listed with its inputs and output", func() error { return listed(c, id) })
	try(dbos.Shutdown(c, 10*time.Second))
	finish()
}

func enqueue(c dbos.Client, name, id string, arguments ...any) (dbos.WorkflowHandle[any], error) {
	return dbos.Enqueue[any](c, golden.Queue, name, dbos.PortableWorkflowArgs{PositionalArgs: arguments},
		dbos.WithEnqueueWorkflowID(id), dbos.WithEnqueueClassName(golden.Class))
}

const streamEnd = "__DBOS_STREAM_CLOSED__"

// This SDK marks the end of a stream by the bare word. The others write it as a JSON string, which this one hands out as one value more,
// and sees the end when the workflow has ended.
func streamed(c dbos.Client, id string) error {
	wanted := []any{golden.StreamItem}
	if !strings.HasSuffix(id, "-to-Go") {
		wanted = append(wanted, streamEnd)
	}
	values, closed, err := dbos.ReadStream[any](c, id, golden.StreamKey)
	return errors.Join(err, equal(values, wanted), equal(closed, true))
}

func rejected(c dbos.Client, id string) error {
	handle, err := enqueue(c, golden.Failing, id, "o1")
	if err != nil {
		return err
	}
	_, err = handle.GetResult()
	var failure *dbos.PortableWorkflowError
	if !errors.As(err, &failure) {
		return errors.Join(errors.New("the workflow did not fail as it should"), err)
	}
	return equal(failure, golden.Failure)
}

func listed(c dbos.Client, id string) error {
	rows, err := dbos.ListWorkflows(c, dbos.WithFilterWorkflowIDs(id), dbos.WithFilterLoadInput(true), dbos.WithFilterLoadOutput(true))
	if err != nil || len(rows) != 1 {
		return errors.Join(err, equal(len(rows), 1))
	}
	input, isMap := plain(rows[0].Input).(map[string]any)
	return errors.Join(
		equal(isMap, true),
		equal(rows[0].Status, "SUCCESS"),
		equal(input["positionalArgs"], golden.Arguments),
		equal(rows[0].Output, golden.Output))
}
