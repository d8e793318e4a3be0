package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	"github.com/tektoncd/pipeline/pkg/client/clientset/versioned"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// cluster answers the controller's requests for existing objects, through the real clients.
type cluster struct {
	objects map[string]metav1.Object
	kube    kubernetes.Interface
	tekton  versioned.Interface
	server  *httptest.Server
}

// plural returns a kind's name in a URL.
var plural = map[string]string{"Task": "tasks", "StepAction": "stepactions", "Pipeline": "pipelines", "Secret": "secrets",
	"ConfigMap": "configmaps", "ServiceAccount": "serviceaccounts"}

func newCluster(resources []resource) (*cluster, error) {
	c := &cluster{objects: map[string]metav1.Object{
		"serviceaccounts/default": &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}},
	}}
	for _, resource := range resources {
		if kinds := plural[resource.kind]; kinds != "" {
			c.objects[kinds+"/"+resource.object.GetName()] = resource.object
		}
		if is, ok := resource.object.(tektonObject); ok && plural[resource.kind] != "" {
			is.SetDefaults(context.Background())
			if err := is.Validate(context.Background()); err != nil {
				return nil, fmt.Errorf("%s: %w", resource, err)
			}
		}
	}
	c.server = httptest.NewServer(http.HandlerFunc(c.answer))
	config := &rest.Config{Host: c.server.URL}
	var err error
	if c.kube, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	c.tekton, err = versioned.NewForConfig(config)
	return c, err
}

func (c *cluster) answer(response http.ResponseWriter, request *http.Request) {
	response.Header().Set("Content-Type", "application/json")
	// StepActions are validated once more (dry run) before they are used.
	if request.Method == http.MethodPost && path.Base(request.URL.Path) == "stepactions" {
		action := &v1beta1.StepAction{}
		err := json.NewDecoder(request.Body).Decode(action)
		if err == nil {
			action.SetDefaults(request.Context())
			if invalid := action.Validate(request.Context()); invalid != nil {
				err = invalid
			}
		}
		if err != nil {
			refuse(response, http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
			return
		}
		_ = json.NewEncoder(response).Encode(action)
		return
	}
	_, name, found := strings.Cut(request.URL.Path, "/namespaces/"+namespace+"/")
	object := c.objects[name]
	if !found || object == nil || request.Method != http.MethodGet {
		refuse(response, http.StatusNotFound, metav1.StatusReasonNotFound, request.URL.Path)
		return
	}
	_ = json.NewEncoder(response).Encode(object)
}

func refuse(response http.ResponseWriter, code int32, reason metav1.StatusReason, message string) {
	response.WriteHeader(int(code))
	_ = json.NewEncoder(response).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Code: code, Reason: reason, Message: message,
	})
}
