output "cluster_name" {
  description = "For aws eks update-kubeconfig."
  value       = module.cluster.name
}

output "settings" {
  description = "The ConfigMap of all processes."
  value       = local.settings
}

output "secret_name" {
  description = "What an ExternalSecret refers to: a JSON object of environment variables."
  value       = aws_secretsmanager_secret.this.name
}

output "role_arns" {
  description = "For eks.amazonaws.com/role-arn of service accounts: api, origin, worker and the controllers."
  value       = module.identity.role_arns
}

output "target_group_arns" {
  description = "For TargetGroupBindings: api, origin."
  value       = { for process, balancer in module.load_balancer : process => balancer.target_group_arn }
}

output "repositories" {
  description = "For images: api, origin, worker."
  value       = module.cluster.repositories
}

output "aliases" {
  description = "What each domain of yours has to be an alias of, in DNS."
  value = merge(
    { (var.api_domain) = module.load_balancer["api"].dns_name, (var.origin_domain) = module.load_balancer["origin"].dns_name },
    var.media_domain == null ? {} : { (var.media_domain) = module.cdn.cloudfront_domain },
  )
}

output "key_value_store_arn" {
  description = "The viewer function's keys."
  value       = module.cdn.key_value_store_arn
}
