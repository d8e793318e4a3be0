package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// kubelet runs the containers of a Pod as processes, each in its own root folder, as an unknown user.
type kubelet struct {
	cluster *cluster
	binary  string
	tools   string
	claims  map[string]string
	folder  string
	// What a dynamically linked binary needs from the machine.
	libraries []string
	pods      int
	// As in OpenShift: one user for a whole namespace, unknown to every image.
	user int
}

// The machine's folders, which replace the images that aren't ours.
var machine = []string{"/bin", "/sbin", "/usr", "/lib", "/lib64", "/etc"}

func newKubelet(c *cluster, binary, tools string, claims []string) (*kubelet, error) {
	folder, err := os.MkdirTemp("", "tektoncheck")
	if err != nil {
		return nil, err
	}
	k := &kubelet{cluster: c, tools: tools, claims: map[string]string{}, folder: folder,
		user: 1_000_000 + rand.IntN(1_000_000_000)}
	// Traversable by everyone: the steps' users own nothing.
	if err := os.Chmod(folder, 0o755); err != nil {
		return nil, err
	}
	if k.binary, err = filepath.Abs(binary); err != nil {
		return nil, err
	}
	for at := 0; at+1 < len(claims); at += 2 {
		k.claims[claims[at]] = claims[at+1]
	}
	file, err := elf.Open(k.binary)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.binary, err)
	}
	defer file.Close()
	if libraries, err := file.ImportedLibraries(); err == nil && len(libraries) > 0 {
		k.libraries = []string{"/lib", "/lib64", "/usr/lib"}
	}
	return k, nil
}

func (k *kubelet) clean() {
	_ = os.RemoveAll(k.folder)
}

// run runs the Pod to its end, and sets its status as a kubelet would.
func (k *kubelet) run(pod *corev1.Pod) ([]stepReport, error) {
	k.pods++
	folder := filepath.Join(k.folder, fmt.Sprint(k.pods))
	volumes := map[string]string{}
	for _, volume := range pod.Spec.Volumes {
		path, err := k.volume(folder, volume)
		if err != nil {
			return nil, fmt.Errorf("volume %s: %w", volume.Name, err)
		}
		volumes[volume.Name] = path
	}
	var reports []stepReport
	for _, container := range pod.Spec.InitContainers {
		report, err := k.start(folder, volumes, container)
		if err != nil || report.ExitCode != 0 {
			return append(reports, report), fmt.Errorf("init container %s: exit code %d: %v: %s", container.Name,
				report.ExitCode, err, report.Log)
		}
	}
	// The container that reads results from the log isn't run: the controller only fetches logs from a real kubelet.
	pod.Spec.Containers = slices.DeleteFunc(pod.Spec.Containers, func(container corev1.Container) bool {
		return container.Image == images.SidecarLogResultsImage
	})
	begun := metav1.Now()
	reports = make([]stepReport, len(pod.Spec.Containers))
	wrong := make([]error, len(pod.Spec.Containers))
	var all sync.WaitGroup
	for at, container := range pod.Spec.Containers {
		all.Add(1)
		go func() {
			defer all.Done()
			reports[at], wrong[at] = k.start(folder, volumes, container)
		}()
	}
	all.Wait()
	pod.Status.Phase = corev1.PodSucceeded
	for at, container := range pod.Spec.Containers {
		if wrong[at] != nil {
			return reports, fmt.Errorf("container %s: %w", container.Name, wrong[at])
		}
		ended := corev1.ContainerStateTerminated{ExitCode: int32(reports[at].ExitCode), Reason: "Completed",
			Message: reports[at].Termination, StartedAt: begun, FinishedAt: metav1.NewTime(time.Now())}
		if ended.ExitCode != 0 {
			ended.Reason, pod.Status.Phase = "Error", corev1.PodFailed
		}
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: container.Name, Image: container.Image, State: corev1.ContainerState{Terminated: &ended},
		})
	}
	return reports, nil
}

// volume creates the folder of a volume.
func (k *kubelet) volume(folder string, volume corev1.Volume) (string, error) {
	path := filepath.Join(folder, "volumes", volume.Name)
	// Independent of the umask: every user may write.
	make := func(path string) error {
		if err := os.MkdirAll(path, 0o777); err != nil {
			return err
		}
		return os.Chmod(path, 0o777)
	}
	switch {
	case volume.EmptyDir != nil:
		return path, make(path)
	case volume.PersistentVolumeClaim != nil:
		claim := volume.PersistentVolumeClaim.ClaimName
		if given := k.claims[claim]; given != "" {
			return filepath.Abs(given)
		}
		path = filepath.Join(k.folder, "claims", claim)
		return path, make(path)
	case volume.DownwardAPI != nil:
		// The controller reports this once the Pod runs.
		return path, project(path, map[string][]byte{"ready": []byte("READY")})
	case volume.Secret != nil:
		secret, is := k.cluster.objects["secrets/"+volume.Secret.SecretName].(*corev1.Secret)
		if !is {
			return "", fmt.Errorf("there is no secret %s", volume.Secret.SecretName)
		}
		data := map[string][]byte{}
		for key, value := range secret.StringData {
			data[key] = []byte(value)
		}
		for key, value := range secret.Data {
			data[key] = value
		}
		return path, project(path, data)
	case volume.ConfigMap != nil:
		config, is := k.cluster.objects["configmaps/"+volume.ConfigMap.Name].(*corev1.ConfigMap)
		if !is {
			return "", fmt.Errorf("there is no ConfigMap %s", volume.ConfigMap.Name)
		}
		data := map[string][]byte{}
		for key, value := range config.Data {
			data[key] = []byte(value)
		}
		return path, project(path, data)
	}
	return "", fmt.Errorf("nobody knows such a volume: %+v", volume.VolumeSource)
}

// project writes files as the kubelet does: each is a link into a folder that can be swapped atomically.
func project(path string, data map[string][]byte) error {
	real := filepath.Join(path, "..2026_01_02")
	if err := os.MkdirAll(real, 0o755); err != nil {
		return err
	}
	if err := os.Symlink("..2026_01_02", filepath.Join(path, "..data")); err != nil {
		return err
	}
	for name, content := range data {
		if err := os.WriteFile(filepath.Join(real, name), content, 0o644); err != nil {
			return err
		}
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(path, name)); err != nil {
			return err
		}
	}
	return nil
}

// start runs one container to its end.
func (k *kubelet) start(folder string, volumes map[string]string, container corev1.Container) (stepReport, error) {
	report := stepReport{Name: container.Name, User: k.user}
	own := filepath.Join(folder, "containers", container.Name)
	if err := os.MkdirAll(filepath.Join(own, "root"), 0o755); err != nil {
		return report, err
	}
	box := box{Root: filepath.Join(own, "root"), User: k.user, Folder: container.WorkingDir}
	box.Mounts = append(box.Mounts, k.image(container.Image)...)
	environment, words, err := started(container)
	if err != nil {
		return report, err
	}
	box.Environment, box.Words = environment, words
	for _, is := range container.VolumeMounts {
		source, known := volumes[is.Name]
		if !known {
			return report, fmt.Errorf("there is no volume %s", is.Name)
		}
		box.Mounts = append(box.Mounts, mount{Source: filepath.Join(source, is.SubPath), Target: is.MountPath, ReadOnly: is.ReadOnly})
	}
	// What the kubelet reads after the container has ended.
	termination := filepath.Join(own, "termination")
	if err := os.WriteFile(termination, nil, 0o666); err != nil {
		return report, err
	}
	if err := os.Chmod(termination, 0o666); err != nil {
		return report, err
	}
	if container.TerminationMessagePath != "" {
		box.Mounts = append(box.Mounts, mount{Source: termination, Target: container.TerminationMessagePath})
	}
	// Folders before their content.
	sort.SliceStable(box.Mounts, func(a, b int) bool { return box.Mounts[a].Target < box.Mounts[b].Target })
	if context := container.SecurityContext; context != nil {
		box.ReadOnly = context.ReadOnlyRootFilesystem != nil && *context.ReadOnlyRootFilesystem
		if context.RunAsUser != nil {
			box.User = int(*context.RunAsUser)
		}
		if context.RunAsNonRoot != nil && *context.RunAsNonRoot && box.User == 0 {
			return report, fmt.Errorf("it runs as root, which its security context forbids")
		}
	}
	var log bytes.Buffer
	code, err := box.run(&log)
	report.ExitCode, report.Log = code, log.String()
	if err != nil {
		return report, err
	}
	message, err := os.ReadFile(termination)
	report.Termination = string(message)
	return report, err
}

// started returns the environment and the arguments of a container, with variables expanded.
func started(container corev1.Container) ([]string, []string, error) {
	known := map[string]string{"HOSTNAME": "pod", "PATH": "/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin"}
	order := []string{"HOSTNAME", "PATH"}
	for _, variable := range container.Env {
		if variable.ValueFrom != nil {
			return nil, nil, fmt.Errorf("the variable %s is from elsewhere", variable.Name)
		}
		if _, is := known[variable.Name]; !is {
			order = append(order, variable.Name)
		}
		known[variable.Name] = expand(variable.Value, known)
	}
	var environment, words []string
	for _, name := range order {
		environment = append(environment, name+"="+known[name])
	}
	for _, word := range append(append([]string{}, container.Command...), container.Args...) {
		words = append(words, expand(word, known))
	}
	return environment, words, nil
}

// image lists the content of a container's root.
func (k *kubelet) image(name string) []mount {
	var mounts []mount
	folders := func(paths []string) {
		for _, path := range paths {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				mounts = append(mounts, mount{Source: path, Target: path, ReadOnly: true})
			}
		}
	}
	switch {
	case name == images.EntrypointImage || name == images.WorkingDirInitImage:
		tool := strings.TrimPrefix(name, "tekton.example/")
		mounts = append(mounts, mount{Source: filepath.Join(k.tools, tool), Target: "/ko-app/" + tool, ReadOnly: true})
	case strings.Contains(name, "/imgstep:"):
		mounts = append(mounts, mount{Source: k.binary, Target: "/imgstep", ReadOnly: true})
		folders(k.libraries)
	default:
		folders(machine)
	}
	return mounts
}

// expand expands variables in a text as the kubelet does: $(NAME) if it is known, $$ for a dollar.
func expand(text string, environment map[string]string) string {
	var out strings.Builder
	for at := 0; at < len(text); at++ {
		rest := text[at:]
		switch {
		case strings.HasPrefix(rest, "$$"):
			out.WriteByte('$')
			at++
		case strings.HasPrefix(rest, "$("):
			name, _, closed := strings.Cut(rest[2:], ")")
			value, known := environment[name]
			if !closed || !known {
				out.WriteByte('$')
				continue
			}
			out.WriteString(value)
			at += len(name) + 2
		default:
			out.WriteByte(text[at])
		}
	}
	return out.String()
}
