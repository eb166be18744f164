output "domain" {
  description = "What playback URLs begin with."
  value       = coalesce(var.domain, aws_cloudfront_distribution.this.domain_name)
}

output "cloudfront_domain" {
  description = "What a domain of your own has to be an alias of."
  value       = aws_cloudfront_distribution.this.domain_name
}

output "distribution_id" {
  description = "The distribution."
  value       = aws_cloudfront_distribution.this.id
}

output "key_value_store_arn" {
  description = "The function's keys."
  value       = aws_cloudfront_key_value_store.this.arn
}

output "signing_key_id" {
  description = "CloudFront's name for the first public key; null with tokens."
  value       = local.signed ? aws_cloudfront_public_key.this[substr(sha256(var.signed_playback.public_keys[0]), 0, 12)].id : null
}
