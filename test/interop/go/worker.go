package main

import (
	"maps"
	"slices"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
)

// Serves the golden workflows. The SDK looks for a workflow by its name and does not ask for its class.
func worker(uri, application, queue string) {
	ctx := newContext(uri, application)
	dbos.RegisterWorkflow(ctx, canonical, dbos.WithWorkflowName(golden.Workflow))
	dbos.RegisterWorkflow(ctx, rejectOrder, dbos.WithWorkflowName(golden.Failing))
	serve(ctx, queue)
}

// A workflow takes one argument; one of several takes the envelope.
func canonical(ctx dbos.Context, input dbos.PortableWorkflowArgs) (map[string]any, error) {
	arguments := input.PositionalArgs
	text, num, flag := arguments[0], arguments[1], arguments[5]
	if err := dbos.SetEvent(ctx, golden.EventKey, map[string]any{"text": text, "num": num, "flag": flag}); err != nil {
		return nil, err
	}
	if err := dbos.WriteStream(ctx, golden.StreamKey, map[string]any{"item": text}); err != nil {
		return nil, err
	}
	if err := dbos.CloseStream(ctx, golden.StreamKey); err != nil {
		return nil, err
	}
	received, err := dbos.Recv[any](ctx, golden.Topic, time.Minute)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"echo_text":   text,
		"echo_num":    num,
		"echo_dt":     arguments[2],
		"items_count": len(arguments[3].([]any)),
		"meta_keys":   slices.Sorted(maps.Keys(arguments[4].(map[string]any))),
		"flag":        flag,
		"empty":       arguments[6],
		"received":    received,
	}, nil
}

func rejectOrder(_ dbos.Context, orderID string) (any, error) {
	return nil, &dbos.PortableWorkflowError{
		Name:    golden.Failure["name"].(string),
		Message: golden.Failure["message"].(string),
		Code:    golden.Failure["code"],
		Data:    map[string]any{"orderId": orderID},
	}
}
