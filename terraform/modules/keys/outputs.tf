output "arn" {
  description = "The key."
  value       = aws_kms_key.this.arn
}

output "alias_arn" {
  description = "A name of the key that is known before the key is."
  value       = "arn:aws:kms:${var.region}:${var.account_id}:${aws_kms_alias.this.name}"
}
