package main

import (
	"context"

	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/status"
)

type svidLine struct {
	ID     string `json:"id"`
	Hint   string `json:"hint"`
	Serial string `json:"serial"`
}

type stateLine struct {
	SVIDs []svidLine `json:"svids"`
	// The number of authorities of each trust domain.
	Bundles map[string]int `json:"bundles"`
}

type errorLine struct {
	Error string `json:"error"`
}

// watch prints each state and each error that go-spiffe's client takes from the Workload API, until it is stopped.
func watch(ctx context.Context) error {
	err := workloadapi.WatchX509Context(ctx, printer{})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

type printer struct{}

func (printer) OnX509ContextUpdate(update *workloadapi.X509Context) {
	state := stateLine{SVIDs: []svidLine{}, Bundles: map[string]int{}}
	for _, svid := range update.SVIDs {
		serial := svid.Certificates[0].SerialNumber.Text(16)
		state.SVIDs = append(state.SVIDs, svidLine{svid.ID.String(), svid.Hint, serial})
	}
	for _, bundle := range update.Bundles.Bundles() {
		state.Bundles[bundle.TrustDomain().Name()] = len(bundle.X509Authorities())
	}
	printLine(state)
}

func (printer) OnX509ContextWatchError(err error) {
	printLine(errorLine{status.Code(err).String()})
}
