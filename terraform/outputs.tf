output "cluster_name" {
  description = "For aws eks update-kubeconfig."
  value       = module.cluster.name
}

output "settings" {
  description = "Variables of all processes."
  value       = local.settings
}

output "secret_name" {
  description = "What an ExternalSecret refers to: a JSON object of environment variables."
  value       = aws_secretsmanager_secret.this.name
}

output "role_arns" {
  description = "For eks.amazonaws.com/role-arn of service accounts; the overlay has those of api, origin and worker."
  value       = module.identity.role_arns
}

output "repositories" {
  description = "Where images are pushed to: api, origin, worker."
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
