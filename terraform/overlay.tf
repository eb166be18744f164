# The files that deployments/kubernetes takes from here; its README has the commands.
output "overlay_settings" {
  description = "settings.env of an overlay: variables of all pods."
  value       = join("", [for name, value in local.settings : "${name}=${value}\n"])
}

output "overlay_estate" {
  description = "estate.env of an overlay: what belongs into its accounts, images and bindings."
  value = join("", concat(
    [for process in keys(module.cluster.repositories) : "${process}_role_arn=${module.identity.role_arns[process]}\n"],
    [for process, url in module.cluster.repositories : "${process}_repository=${url}\n"],
    [for process, balancer in module.load_balancer : "${process}_target_group_arn=${balancer.target_group_arn}\n"],
  ))
}

output "s3_network_policy" {
  description = "base/s3.yaml of the manifests: S3's addresses in this region, as AWS lists them now."
  value = yamlencode({
    apiVersion = "networking.k8s.io/v1"
    kind       = "NetworkPolicy"
    metadata   = { name = "origin-s3" }
    spec = {
      podSelector = { matchLabels = { "app.kubernetes.io/component" = "origin" } }
      policyTypes = ["Egress"]
      egress = [{
        to    = [for cidr in module.network.s3_cidrs : { ipBlock = { cidr = cidr } }]
        ports = [{ port = 443, protocol = "TCP" }]
      }]
    }
  })
}
