package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
)

type outcome struct {
	Length  int
	Shouted string
	Message map[string]string
}

func child(ctx dbos.Context, text string) (string, error) {
	return dbos.RunAsStep(ctx, func(context.Context) (string, error) { return strings.ToUpper(text), nil }, dbos.WithStepName("shout"))
}

func everything(ctx dbos.Context, text string) (result outcome, err error) {
	if result.Length, err = dbos.RunAsStep(ctx, func(context.Context) (int, error) { return len(text), nil }, dbos.WithStepName("measure")); err != nil {
		return
	}
	if err = dbos.SetEvent(ctx, "length", result.Length); err != nil {
		return
	}
	if err = dbos.WriteStream(ctx, "words", text); err != nil {
		return
	}
	if err = dbos.CloseStream(ctx, "words"); err != nil {
		return
	}
	if _, err = dbos.Sleep(ctx, 50*time.Millisecond); err != nil {
		return
	}
	handle, err := dbos.RunWorkflow(ctx, child, text)
	if err != nil {
		return
	}
	if result.Message, err = dbos.Recv[map[string]string](ctx, "greeting", 30*time.Second); err != nil {
		return
	}
	result.Shouted, err = handle.GetResult()
	return
}

func stumbling(ctx dbos.Context, _ string) (string, error) {
	return dbos.RunAsStep(ctx, func(context.Context) (string, error) { return "", errors.New("the step fails") }, dbos.WithStepName("stumble"))
}

func queued(_ dbos.Context, n int) (int, error) { return n * 2, nil }

// Launches (which migrates where it is due) and uses every durable feature once.
func app(uri, application string) {
	var ctx dbos.Context
	id := application + "-everything"
	wanted := outcome{7, "DURABLE", map[string]string{"from": "test"}}
	if !check("the SDK launches", func() error {
		ctx = newContext(uri, application)
		dbos.RegisterWorkflow(ctx, child, dbos.WithWorkflowName("child"))
		dbos.RegisterWorkflow(ctx, everything, dbos.WithWorkflowName("everything"))
		dbos.RegisterWorkflow(ctx, stumbling, dbos.WithWorkflowName("stumbling"))
		dbos.RegisterWorkflow(ctx, queued, dbos.WithWorkflowName("queued"))
		return dbos.Launch(ctx)
	}) {
		finish()
	}
	check("a workflow with step, event, stream, sleep, child and message completes", func() error { return completes(ctx, id, wanted) })
	check("a failed step fails its workflow with the recorded error", func() error { return fails(ctx) })
	check("a queue is registered and drained", func() error { return drains(ctx, application+"-queue") })
	check("a finished workflow is forked from a step", func() error {
		handle, err := dbos.ForkWorkflow[outcome](ctx, dbos.ForkWorkflowInput{OriginalWorkflowID: id, StartStep: 8})
		if err != nil {
			return err
		}
		result, err := handle.GetResult()
		return errors.Join(err, equal(result, wanted))
	})
	try(dbos.Shutdown(ctx, 10*time.Second))
	finish()
}

func completes(ctx dbos.Context, id string, wanted outcome) error {
	handle, err := dbos.RunWorkflow(ctx, everything, "durable", dbos.WithWorkflowID(id))
	if err != nil {
		return err
	}
	length, err := dbos.GetEvent[int](ctx, id, "length", 30*time.Second)
	if err := errors.Join(err, equal(length, 7)); err != nil {
		return err
	}
	words, closed, err := dbos.ReadStream[string](ctx, id, "words")
	if err := errors.Join(err, equal(words, []string{"durable"}), equal(closed, true)); err != nil {
		return err
	}
	if err := dbos.Send(ctx, id, wanted.Message, "greeting"); err != nil {
		return err
	}
	result, err := handle.GetResult()
	if err := errors.Join(err, equal(result, wanted)); err != nil {
		return err
	}
	steps, err := dbos.GetWorkflowSteps(ctx, id)
	names := []string{}
	for _, step := range steps {
		// The step after recv is its timeout: there only when the message had to be waited for.
		if step.StepID != 7 {
			names = append(names, step.StepName)
		}
	}
	return errors.Join(err, equal(names, strings.Fields(
		"measure DBOS.setEvent DBOS.writeStream DBOS.closeStream DBOS.sleep child DBOS.recv DBOS.getResult")))
}

func fails(ctx dbos.Context) error {
	handle, err := dbos.RunWorkflow(ctx, stumbling, "")
	if err != nil {
		return err
	}
	if _, err = handle.GetResult(); err == nil || !strings.Contains(err.Error(), "the step fails") {
		return fmt.Errorf("got the error %v", err)
	}
	return nil
}

func drains(ctx dbos.Context, name string) error {
	queue, err := dbos.RegisterQueue(ctx, name, dbos.WithQueueBasePollingInterval(100*time.Millisecond), dbos.WithWorkerConcurrency(2))
	if err != nil {
		return err
	}
	handles := []dbos.WorkflowHandle[int]{}
	for n := range 5 {
		handle, err := dbos.RunWorkflow(ctx, queued, n, dbos.WithQueue(queue))
		if err != nil {
			return err
		}
		handles = append(handles, handle)
	}
	results := []int{}
	for _, handle := range handles {
		result, err := handle.GetResult()
		if err != nil {
			return err
		}
		results = append(results, result)
	}
	return equal(results, []int{0, 2, 4, 6, 8})
}
