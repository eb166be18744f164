# CloudFront's signatures instead of tokens.

mock_provider "aws" {}

variables {
  name              = "headrace-test"
  region            = "eu-central-1"
  figures           = "../deployments/cloudfront"
  load_balancer_arn = "arn:aws:elasticloadbalancing:eu-central-1:444455556666:loadbalancer/app/origin/1"
  origin_domain     = "origin.studio.example"
  origin_secret     = "0123456789abcdef0123456789abcdef"
  domain            = "media.studio.example"
  certificate_arn   = "arn:aws:acm:us-east-1:444455556666:certificate/1"
  price_class       = "PriceClass_100"
  signing_keys      = [{ kid = "k1", secret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }]
  page_origins      = ["https://studio.example"]
  logs_bucket_arn   = "arn:aws:s3:::headrace-test-logs"
  signed_playback   = { mode = "cloudfront-cookie", public_keys = ["newer", "older"], cookie_domain = "studio.example" }
}

run "titles_open_by_the_key_group_alone" {
  module {
    source = "./modules/cdn"
  }

  assert {
    condition     = [for behavior in aws_cloudfront_distribution.this.ordered_cache_behavior : behavior.path_pattern] == ["/v/*.m3u8", "/v/*"]
    error_message = "What is signed is below /v/."
  }

  assert {
    condition = alltrue([
      for behavior in aws_cloudfront_distribution.this.ordered_cache_behavior :
      join(",", behavior.trusted_key_groups) == aws_cloudfront_key_group.this[0].id && length(behavior.function_association) == 0
    ])
    error_message = "Everything below /v/ asks for a signature."
  }

  assert {
    condition     = length(aws_cloudfront_distribution.this.default_cache_behavior[0].function_association) == 1
    error_message = "Everything else asks for a token."
  }

  assert {
    condition     = length(aws_cloudfront_key_group.this[0].items) == 2
    error_message = "While keys change, both are trusted."
  }

  assert {
    condition = alltrue([
      for cors in aws_cloudfront_response_headers_policy.this.cors_config :
      cors.access_control_allow_credentials && cors.origin_override && one(cors.access_control_allow_origins).items == toset(["https://studio.example"])
    ]) && length(aws_cloudfront_response_headers_policy.this.cors_config) == 1
    error_message = "Pages that play by cookies are named."
  }
}
